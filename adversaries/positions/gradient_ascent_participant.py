"""The ascending participant: the local active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: a participant ascends the gradient of the
target records' loss in its own upload, and reads the aggregates that come back. See `ascent`.
"""

from flwr.app import ArrayRecord

from adversaries.positions.ascent import Ascent, distance
from fedsim.federation.adversary import Threat
from fedsim.federation.participant_position import ParticipantAdversary
from fedsim.snapshots import AGGREGATE

ARRIVED = "arrived"


class GradientAscentParticipant(ParticipantAdversary):
    """Ascend the target records' loss in one participant's own upload.

    Parameters
    ----------
    participant
        The dishonest one.
    rate, relative, first, last, targets, batches
        See `adversaries.positions.ascent.Ascent`.
    """

    def __init__(
        self,
        participant: int,
        rate: float = 1.0,
        relative: bool = True,
        first: int = 2,
        last: int | None = None,
        targets: int | None = None,
        batches: int = 1,
    ) -> None:
        super().__init__(participant)
        self.ascent = Ascent(rate, relative, first, last, targets, batches)

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

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep the aggregate of a round."""
        self.record(round_number, AGGREGATE, arrays)
        self.memory[ARRIVED] = arrays
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Upload honest training, and a climb of the targets' loss on top of it."""
        if not self.ascent.active(round_number):
            return arrays
        honest = distance(arrays, self.memory.array_records[ARRIVED])
        return self.ascent.climb(arrays, self.briefed(), round_number, honest)
