"""The holder of the released model: it sees the final model only.

The stand-alone and the fine-tuned setting of Nasr, Shokri and Houmansadr (IEEE S&P 2019), section
II-B: one finished model, or several if more versions of it were released (observe those rounds).
"""

from collections.abc import Iterable

from flwr.app import ArrayRecord

from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import ServerAdversary
from fedsim.data import MembershipQuery
from fedsim.observation.keys import SnapshotKey, SnapshotKind


class ReleasedModel(ServerAdversary):
    """Take no part in training, and keep the model as released after the observed rounds."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who="the holder of the released model",
            sees="the model after the observed rounds, and nothing of who sent what",
            outside=True,
        )

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from the released model, whichever victim the query is about."""
        return (SnapshotKind.AGGREGATE.of(),)

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the released model."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
