"""The isolating server: its victims train alone without noticing.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: the server sends a victim's own
parameters back to it instead of the aggregate, so no other training hides what it learned.

Nothing is known of a victim that took no part in the round before `first`: it is sent the aggregate
once more, in its first round from then on, and its own parameters after it.
"""

from collections.abc import Sequence
from typing import Literal

from flwr.app import ArrayRecord

from adversaries.positions.curious_server import CuriousServer
from adversaries.positions.state_lookup import arrays_in
from fedsim.adversary.base import Threat
from fedsim.data import MembershipQuery
from fedsim.errors import PluginError


class IsolatingServer(CuriousServer):
    """Send some participants their own parameters back, never the aggregate.

    Parameters
    ----------
    victims
        The participants that are isolated and asked about; by default the audit's victims.
    first
        The first round in which they get their own parameters; the ones before are honest.
    others
        What the others continue with: ``without-it``, the victim's upload left out, or
        ``last-honest``, its honest upload of the round before `first`, if there is one.
    """

    def __init__(
        self,
        victims: tuple[int, ...] = (0,),
        first: int = 2,
        others: Literal["without-it", "last-honest"] = "without-it",
    ) -> None:
        if first < 2:
            raise ValueError(f"first must be at least 2, not {first}: before it there is no upload")
        self.victims = victims
        self._isolated = frozenset(victims)
        self.first = first
        self.others = others

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(
            who="the server",
            sees="the victim's parameters before and after its local training",
            does=(
                f"from round {self.first} on it sends the victim its own parameters back, never "
                "the aggregate"
            ),
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first round in which a victim is sent its own parameters."""
        return self.first

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about each isolated participant.

        Raises
        ------
        PluginError
            If no upload would be left to aggregate.
        """
        if self.others == "without-it" and len(set(self.victims)) >= participants:
            raise PluginError(
                f"isolating-server would isolate all {participants} participants, and nobody is "
                "left to aggregate; name fewer in its victims or in audit.victims, or set others: "
                "last-honest"
            )
        return self.about(self.victims, participants)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Send a victim its own parameters."""
        return super().send(round_number, participant, self._own(round_number, participant, arrays))

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Let a victim evaluate its own parameters."""
        return self._own(round_number, participant, arrays)

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a victim's upload, and keep it from the others."""
        super().receive(round_number, participant, arrays)
        # Of what is before the last honest round a run that branches from it knows nothing.
        if participant not in self._isolated or round_number < self.first - 1:
            return arrays
        own, honest = _own(participant), _honest(participant)
        self.memory[own] = arrays
        if round_number < self.first:
            self.memory[honest] = arrays
            return arrays
        kept = self.others == "last-honest" and honest in self.memory
        return arrays_in(self.memory, honest) if kept else None

    def _own(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        own = _own(participant)
        isolated = participant in self._isolated and round_number >= self.first
        return arrays_in(self.memory, own) if isolated and own in self.memory else arrays


def _own(victim: int) -> str:
    return f"own-{victim}"


def _honest(victim: int) -> str:
    return f"last-honest-{victim}"
