"""The isolating server: the victim trains alone and never knows.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: the server sends the victim's own
parameters back to it instead of the aggregate, so nobody else's training hides what it learned.
"""

from collections.abc import Sequence
from typing import Literal

from flwr.app import ArrayRecord

from fedsim.data import Question
from fedsim.federation.adversary import Threat
from fedsim.federation.server_position import ServerAdversary
from fedsim.snapshots import participant_owner

OWN = "own"
HONEST = "last-honest"


class IsolatingServer(ServerAdversary):
    """Send one participant its own parameters back, never the aggregate.

    Parameters
    ----------
    victim
        The participant that is isolated and asked about.
    first
        The first round in which it gets its own parameters; the ones before are honest.
    others
        What the others go on with: without the victim, or with its last honest upload.
    """

    def __init__(
        self,
        victim: int = 0,
        first: int = 2,
        others: Literal["without-it", "last-honest"] = "without-it",
    ) -> None:
        if first < 2:
            raise ValueError(f"first must be at least 2, not {first}: before it there is no upload")
        self.victim = victim
        self.first = first
        self.others = others

    def threat(self) -> Threat:
        """Return the threat model in words."""
        return Threat(
            who="the server",
            sees=f"participant {self.victim}'s parameters after its local training",
            does=(
                f"from round {self.first} on it sends participant {self.victim} its own parameters "
                "back, never the aggregate"
            ),
            active=True,
        )

    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Ask about the isolated participant."""
        return self.about(self.victim, participants)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Send the victim its own parameters."""
        return self._own(round_number, participant, arrays)

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Let the victim evaluate its own parameters."""
        # After the round before `first` the aggregate would already give it away.
        return self._own(round_number + 1, participant, arrays)

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep the victim's upload, and keep it from the others."""
        if participant != self.victim:
            return arrays
        self.record(round_number, participant_owner(participant), arrays)
        self.memory[OWN] = arrays
        if round_number < self.first:
            self.memory[HONEST] = arrays
            return arrays
        if self.others == "without-it":
            return None
        return self.memory.array_records[HONEST]

    def _own(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        isolated = participant == self.victim and round_number >= self.first
        return self.memory.array_records.get(OWN, arrays) if isolated else arrays
