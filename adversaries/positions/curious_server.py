"""The global passive attacker: a server that keeps what each participant uploads.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), "the global attacker"; passive.
"""

from flwr.app import ArrayRecord

from fedsim.federation.adversary import Threat
from fedsim.federation.server_position import ServerAdversary
from fedsim.snapshots import participant_owner


class CuriousServer(ServerAdversary):
    """Follow the protocol as the server, and keep every participant's uploads."""

    def threat(self) -> Threat:
        """Return the threat model in words."""
        return Threat(
            who="the server",
            sees="each participant's parameters after its local training, in the observed rounds",
        )

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a participant's upload."""
        self.record(round_number, participant_owner(participant), arrays)
        return arrays
