"""The ascending server: the global active attacker of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: before the server sends the parameters to
a victim, it ascends the gradient of the target records' loss. See `gradient_ascent`.

The length of an honest update is that of the victim's last one, from the round before `first` on.
Without one (the victim joined later, or was not sampled), a relative ascent has no length, and the
victim is sent honest parameters.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from flwr.app import ArrayRecord, MetricRecord

from adversaries.positions.ascent_record import ascent_remarks, note_ascent
from adversaries.positions.curious_server import CuriousServer
from adversaries.positions.gradient_ascent import GradientAscent
from adversaries.positions.state_lookup import arrays_in, number_in
from adversaries.positions.update_arithmetic import update_norm
from fedsim.adversary.base import Threat
from fedsim.data import MembershipQuery, about_participant
from fedsim.observation.keys import SnapshotKey, SnapshotKind

NORM = "norm"


class GradientAscentServer(CuriousServer):
    """Ascend the target records' loss in the parameters that go to some participants.

    Parameters
    ----------
    victims
        The participants that are sent malicious parameters and asked about; by default the audit's
        victims.
    rate, relative, first, last, targets, steps, objective, drop
        See `adversaries.positions.gradient_ascent.GradientAscent`.
    """

    def __init__(
        self,
        victims: tuple[int, ...] = (0,),
        rate: float = 0.4,
        relative: bool = True,
        first: int = 2,
        last: int | None = None,
        targets: int | None = 1000,
        steps: int = 4,
        objective: Literal["confidence", "loss"] = "confidence",
        drop: float | None = 0.15,
    ) -> None:
        self.victims = victims
        self._receivers = frozenset(victims)
        self.ascent = GradientAscent(rate, relative, first, last, targets, steps, objective, drop)

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who="the server",
            sees="the victim's parameters before and after its local training",
            does=f"{self.ascent.in_words} in the parameters that it sends the victim",
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first round of the ascent."""
        return self.ascent.first

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about each participant that is sent malicious parameters."""
        return self.about(self.victims, participants)

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Keep what the victim would have been sent, too."""
        (victim,) = query.victims
        return (SnapshotKind.INTENDED.of(victim),)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Send a victim parameters further up the targets' loss."""
        if not self._follows(round_number, participant):
            return super().send(round_number, participant, arrays)
        sent, length = arrays, self._update_norm(participant)
        if self.ascent.is_active(round_number):
            kept = None
            if length or not self.ascent.relative:
                self.record(round_number, SnapshotKind.INTENDED.of(participant), arrays)
                query, resources = about_participant(participant), self.required_resources()
                sent, kept = self.ascent.ascend(arrays, resources, query, round_number, length)
            note_ascent(self.memory, round_number, kept)
        self.memory[_sent(participant)] = sent
        return super().send(round_number, participant, sent)

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a victim's upload, and the length of its update."""
        if self._follows(round_number, participant):
            sent = arrays_in(self.memory, _sent(participant))
            length = update_norm(sent, arrays, self.trainable(arrays, sent))
            # Under attack the victim also undoes the ascent: no measure of an honest update.
            if self.ascent.is_active(round_number):
                length = min(length, self._update_norm(participant) or length)
            self.memory[_update(participant)] = MetricRecord({NORM: length})
        return super().receive(round_number, participant, arrays)

    def remarks(self) -> tuple[str, ...]:
        """Return remarks on the rounds without an ascent."""
        return ascent_remarks(self.memory, self.ascent.drop)

    def _follows(self, round_number: int, participant: int) -> bool:
        """Return whether it is a victim's round from the last honest one on.

        A run that branches from that round knows nothing of earlier ones.
        """
        return participant in self._receivers and round_number >= self.ascent.first - 1

    def _update_norm(self, victim: int) -> float:
        return number_in(self.memory, _update(victim), NORM) or 0.0


def _sent(victim: int) -> str:
    return f"sent-{victim}"


def _update(victim: int) -> str:
    return f"update-{victim}"
