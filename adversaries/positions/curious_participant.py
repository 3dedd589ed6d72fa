"""The local passive attacker: a participant that keeps the aggregates it is sent.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), "the local attacker"; passive.
"""

from flwr.app import ArrayRecord

from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.observation.keys import SnapshotKind


class CuriousParticipant(ParticipantAdversary):
    """Follow the protocol as one participant, and keep every aggregate."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who=f"participant {self.participant}",
            sees="the aggregate that the server sends, in the observed rounds",
        )

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep the aggregate of a round."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        return arrays
