"""The global passive attacker: a server that keeps all messages to and from participants.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), "the global attacker"; passive. It sees the parameters
before and after a participant's local training. An active server sees the same, so active servers
derive from this class.
"""

from collections.abc import Iterable

from adversaries.positions.curious_server_on_sums import CuriousServerOnSums
from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import RecordingServer, ServerAdversary
from fedsim.data import MembershipQuery
from fedsim.observation.keys import SnapshotKey, SnapshotKind


class CuriousServer(RecordingServer):
    """Follow the protocol as the server, and keep what each participant is sent and uploads."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who="the server",
            sees="each participant's parameters before and after its local training, in the "
            "observed rounds",
        )

    def on_sums(self) -> ServerAdversary | None:
        """Return the server that keeps sums; active servers need more."""
        return CuriousServerOnSums() if type(self) is CuriousServer else None

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from what the victim was sent and what it uploaded."""
        (victim,) = query.victims
        return SnapshotKind.SENT.of(victim), SnapshotKind.UPLOAD.of(victim)
