"""The ascending server: the global active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: before the server sends the parameters to
the victim, it ascends the gradient of the target records' loss. See `ascent`.
"""

from collections.abc import Sequence

from flwr.app import ArrayRecord, MetricRecord

from adversaries.positions.ascent import Ascent, distance
from fedsim.data import Question
from fedsim.federation.adversary import Threat
from fedsim.federation.server_position import ServerAdversary
from fedsim.snapshots import participant_owner

SENT = "sent"
UPDATE = "update"
NORM = "norm"


class GradientAscentServer(ServerAdversary):
    """Ascend the target records' loss in the parameters that go to one participant.

    Parameters
    ----------
    victim
        The participant that is sent crafted parameters and asked about.
    rate, relative, first, last, targets, batches
        See `adversaries.positions.ascent.Ascent`.
    """

    def __init__(
        self,
        victim: int = 0,
        rate: float = 0.5,
        relative: bool = True,
        first: int = 2,
        last: int | None = None,
        targets: int | None = None,
        batches: int = 1,
    ) -> None:
        self.victim = victim
        self.ascent = Ascent(rate, relative, first, last, targets, batches)

    def threat(self) -> Threat:
        """Return the threat model in words."""
        return Threat(
            who="the server",
            sees=f"participant {self.victim}'s parameters after its local training",
            does=(
                f"from round {self.ascent.first} on it ascends the loss of the target records in "
                f"the parameters that it sends participant {self.victim}"
            ),
            active=True,
        )

    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Ask about the participant that is sent crafted parameters."""
        return self.about(self.victim, participants)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Send the victim parameters further up the targets' loss."""
        if participant != self.victim:
            return arrays
        sent = arrays
        if self.ascent.active(round_number):
            sent = self.ascent.climb(arrays, self.briefed(), round_number, self._update_norm())
        self.memory[SENT] = sent
        return sent

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep the victim's upload, and how far it moved from what it was sent."""
        if participant != self.victim:
            return arrays
        self.record(round_number, participant_owner(participant), arrays)
        moved = distance(arrays, self.memory.array_records[SENT])
        # Under attack the victim also undoes the climb: that is no measure of an honest update.
        if self.ascent.active(round_number):
            moved = min(moved, self._update_norm() or moved)
        self.memory[UPDATE] = MetricRecord({NORM: moved})
        return arrays

    def _update_norm(self) -> float:
        known = self.memory.metric_records.get(UPDATE)
        return float(str(known[NORM])) if known else 0.0
