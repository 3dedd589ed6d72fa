"""The ascending participant: the local active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: a participant ascends the gradient of the
target records' loss in its own upload, and reads the aggregates that come back. See `ascent`.

The aggregate is a mean, so only a share of the climb arrives in it. The participant multiplies the
climb by the number of participants to make up for that, and, as it knows its own climb, takes it
out of that round's aggregate again: what is left is what the others did. Where it took no part in a
round there is nothing to take out, and the aggregate is kept as it came.

It cannot know who else was aggregated, and takes its share for one in `participants`. That is
right where all take part and weigh the same. Where only k of n do (a strategy samples, or some are
away), its share is one in k: with a boost b, b / k of the climb arrive, b / n are taken out, and
the rest stays in.
"""

from collections.abc import Iterable
from typing import Literal

from flwr.app import ArrayRecord, MetricRecord

from adversaries.positions.ascent import Ascent, ascent_remarks, distance, moved, note_ascent
from adversaries.positions.state_lookup import arrays_in, number_in
from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.data import MembershipQuery, about_all_but
from fedsim.observation.keys import SnapshotKey, SnapshotKind

ARRIVED = "arrived"
CLIMBED = "climbed"
HONEST = "honest"
CLIMB = "climb"
ROUND = "round"


class GradientAscentParticipant(ParticipantAdversary):
    """Ascend the target records' loss in one participant's own upload.

    Parameters
    ----------
    participant
        The dishonest one.
    rate, relative, first, last, targets, steps, objective, drop
        See `adversaries.positions.ascent.Ascent`.
    boost
        By what its climb is multiplied in the upload; by default the number of participants. Where
        a strategy samples, the number that it samples makes the climb arrive at its own length.
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
            does=f"{self.ascent.in_words()} in its own upload",
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first round of the ascent."""
        return self.ascent.first

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Keep the aggregates without its own climb, too."""
        return (SnapshotKind.CLEAN.of(),)

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep the aggregate of a round, and what it would be without the climb in that round."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        if number_in(self.memory, CLIMB, ROUND) == round_number:
            honest, climbed = (arrays_in(self.memory, key) for key in (HONEST, CLIMBED))
            clean = moved(arrays, climbed, honest, self.boost / self.participants)
            self.record(round_number, SnapshotKind.CLEAN.of(), clean)
        # The next climb is measured from here. A run may branch from an honest round before it,
        # and knows nothing of earlier ones.
        if self.ascent.active(round_number + 1):
            self.memory[ARRIVED] = arrays
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Upload honest training, and a climb of the targets' loss on top of it."""
        if not self.ascent.active(round_number):
            return arrays
        asked = about_all_but(self.participant, self.participants)
        arrived = arrays_in(self.memory, ARRIVED)
        length = distance(arrays, arrived, self.trainable(arrays, arrived))
        climbed, left = self.ascent.climb(arrays, self.briefed(), asked, round_number, length)
        note_ascent(self.memory, round_number, left)
        if not left:
            return arrays
        self.memory[HONEST], self.memory[CLIMBED] = arrays, climbed
        self.memory[CLIMB] = MetricRecord({ROUND: round_number})
        return moved(arrays, arrays, climbed, self.boost)

    def remarks(self) -> tuple[str, ...]:
        """Return in which rounds nothing was climbed."""
        return ascent_remarks(self.memory, self.ascent.drop)
