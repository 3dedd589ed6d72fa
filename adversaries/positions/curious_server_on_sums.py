"""The curious server under secure aggregation: it keeps the sums of the uploads.

The passive global attacker of Nasr, Shokri and Houmansadr (IEEE S&P 2019) under a protocol like
that of Bonawitz et al. (CCS 2017), which hides single uploads from the server.
"""

from collections.abc import Iterable, Sequence

from flwr.app import ArrayRecord

from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import ServerAdversary
from fedsim.data import MembershipQuery
from fedsim.observation.keys import SnapshotKey, SnapshotKind


class CuriousServerOnSums(ServerAdversary):
    """Follow the protocol as the server, and keep the mean of the uploads."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who="the server",
            sees="the sum of the uploads of those who took part, in the observed rounds, and no "
            "single upload",
        )

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about all participants together: a sum does not tell them apart."""
        return (MembershipQuery("all", tuple(range(participants))),)

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from the sums."""
        return (SnapshotKind.AGGREGATE.of(),)

    def summed(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the mean of the uploads."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
