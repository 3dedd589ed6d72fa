"""The ascending participant: the local active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: a participant ascends the gradient of the
target records' loss in its own upload, and reads the aggregates that come back. See
`gradient_ascent`.

The aggregate is a mean, so only a share of the ascent arrives in it. The participant multiplies the
ascent by the number of participants to compensate, and subtracts its own ascent from that round's
aggregate again, which leaves the contribution of the others. In rounds in which it does not take
part, the aggregate is kept unchanged.

It does not know who else was aggregated, and assumes a share of one in `participants`. That is
right if all take part with equal weights. If only k of n take part (sampled, or some are away), its
share is one in k: with a boost b, b / k of the ascent arrive, b / n are subtracted, and the rest
remains.
"""

from collections.abc import Iterable
from typing import Literal

from flwr.app import ArrayRecord, MetricRecord

from adversaries.positions.ascent_record import ascent_remarks, note_ascent
from adversaries.positions.gradient_ascent import GradientAscent
from adversaries.positions.state_lookup import arrays_in, number_in
from adversaries.positions.update_arithmetic import add_update, update_norm
from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.data import MembershipQuery, about_all_but
from fedsim.observation.keys import SnapshotKey, SnapshotKind

ARRIVED, HONEST, ASCENDED, ASCENT, ROUND = "arrived", "honest", "climbed", "climb", "round"
"""Keys in its memory, which checkpoints hold."""


class GradientAscentParticipant(ParticipantAdversary):
    """Ascend the target records' loss in one participant's own upload.

    Parameters
    ----------
    participant
        The dishonest participant.
    rate, relative, first, last, targets, steps, objective, drop
        See `adversaries.positions.gradient_ascent.GradientAscent`.
    boost
        Factor of its ascent in the upload; by default the number of participants. If a strategy
        samples, the number of sampled participants makes the ascent arrive at its own length.
    participants
        Number of participants; set by a run.
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
        self.ascent = GradientAscent(rate, relative, first, last, targets, steps, objective, drop)
        self.boost = float(participants) if boost is None else boost
        if self.boost <= 0:
            name = "participants" if boost is None else "boost"
            raise ValueError(f"{name} must be above 0, not {self.boost:g}")
        self.participants = participants

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who=f"participant {self.participant}",
            sees="the aggregate that the server sends, in the observed rounds",
            does=f"{self.ascent.in_words} in its own upload",
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first round of the ascent."""
        return self.ascent.first

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Keep the aggregates without its own ascent, too."""
        return (SnapshotKind.CLEAN.of(),)

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep the aggregate of a round, and the same without the ascent of that round."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        if number_in(self.memory, ASCENT, ROUND) == round_number:
            honest, ascended = (arrays_in(self.memory, key) for key in (HONEST, ASCENDED))
            clean = add_update(arrays, ascended, honest, self.boost / self.participants)
            self.record(round_number, SnapshotKind.CLEAN.of(), clean)
        # The next ascent is measured from here. A run may branch from an honest round before it,
        # and knows nothing of earlier ones.
        if self.ascent.is_active(round_number + 1):
            self.memory[ARRIVED] = arrays
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Upload honest training, and an ascent of the targets' loss on top of it."""
        if not self.ascent.is_active(round_number):
            return arrays
        query = about_all_but(self.participant, self.participants)
        arrived = arrays_in(self.memory, ARRIVED)
        length = update_norm(arrived, arrays, self.trainable(arrays, arrived))
        resources = self.required_resources()
        ascended, kept = self.ascent.ascend(arrays, resources, query, round_number, length)
        note_ascent(self.memory, round_number, kept)
        if not kept:
            return arrays
        self.memory[HONEST], self.memory[ASCENDED] = arrays, ascended
        self.memory[ASCENT] = MetricRecord({ROUND: round_number})
        return add_update(arrays, arrays, ascended, self.boost)

    def remarks(self) -> tuple[str, ...]:
        """Return remarks on the rounds without an ascent."""
        return ascent_remarks(self.memory, self.ascent.drop)
