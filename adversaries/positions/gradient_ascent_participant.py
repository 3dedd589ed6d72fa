"""The ascending participant: the local active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: a participant ascends the gradient of the
target records' loss in its own upload, and reads the aggregates that come back. See `ascent`.

The aggregate is a mean, so only a share of the climb arrives in it. The participant multiplies the
climb by the number of participants to make up for that, and, as it knows its own climb, takes it
out of the aggregate again: what is left is what the others did. (It takes everybody to weigh the
same; where they do not, a part of the climb stays in.)
"""

from typing import Literal

from flwr.app import ArrayRecord

from adversaries.positions.ascent import Ascent, distance, moved
from fedsim.data import Question, about_all_but
from fedsim.federation.adversary import Threat
from fedsim.federation.participant_position import ParticipantAdversary
from fedsim.snapshots import AGGREGATE, CLEAN

ARRIVED = "arrived"
CLIMBED = "climbed"
HONEST = "honest"


class GradientAscentParticipant(ParticipantAdversary):
    """Ascend the target records' loss in one participant's own upload.

    Parameters
    ----------
    participant
        The dishonest one.
    rate, relative, first, last, targets, steps, objective, drop
        See `adversaries.positions.ascent.Ascent`.
    boost
        By what its climb is multiplied in the upload; by default the number of participants.
    participants
        How many participants there are; a run knows it.
    """

    def __init__(
        self,
        participant: int,
        rate: float = 0.4,
        relative: bool = True,
        first: int = 2,
        last: int | None = None,
        targets: int | None = 1000,
        steps: int = 4,
        objective: Literal["confidence", "loss"] = "confidence",
        drop: float | None = 0.15,
        boost: float | None = None,
        participants: int = 4,
    ) -> None:
        super().__init__(participant)
        self.ascent = Ascent(rate, relative, first, last, targets, steps, objective, drop)
        self.boost = float(participants) if boost is None else boost
        if self.boost <= 0:
            raise ValueError(f"boost must be above 0, not {boost}")
        self.participants = participants

    def threat(self) -> Threat:
        """Return the threat model in words."""
        return Threat(
            who=f"participant {self.participant}",
            sees="the aggregate that the server sends, in the observed rounds",
            does=(
                f"from round {self.ascent.first} on it ascends the loss of the target records in "
                "its own upload"
            ),
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first round of the ascent."""
        return self.ascent.first

    def owners_while_acting(self, question: Question) -> tuple[str, ...]:
        """Keep the aggregates without its own climb, too."""
        return (CLEAN,)

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep the aggregate of a round, and what it would be without the climb."""
        self.record(round_number, AGGREGATE, arrays)
        if self.ascent.active(round_number):
            honest, climbed = (self.memory.array_records[key] for key in (HONEST, CLIMBED))
            clean = moved(arrays, climbed, honest, self.boost / self.participants)
            self.record(round_number, CLEAN, clean)
        self.memory[ARRIVED] = arrays
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Upload honest training, and a climb of the targets' loss on top of it."""
        if not self.ascent.active(round_number):
            return arrays
        asked = about_all_but(self.participant, self.participants)
        length = distance(arrays, self.memory.array_records[ARRIVED])
        climbed = self.ascent.climb(arrays, self.briefed(), asked, round_number, length)
        self.memory[HONEST], self.memory[CLIMBED] = arrays, climbed
        return moved(arrays, arrays, climbed, self.boost)
