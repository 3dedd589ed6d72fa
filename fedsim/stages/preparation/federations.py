"""The federations that an experiment needs: passive attackers share the honest one.

An active attacker changes the training of all participants, so each gets a federation of its own.
Up to the first active round it is the same as the honest federation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.adversary.base import Adversary
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.choice import HONEST
from fedsim.stages.preparation.attackers import Attacker


@dataclass(frozen=True)
class PlannedFederation:
    """One federation of an experiment: its name and the attackers in it."""

    name: str
    attackers: tuple[Attacker, ...]

    def acts_from(self) -> int | None:
        """Return the first active round; None if all rounds are honest."""
        starts = [attacker.acts_from() for attacker in self.attackers]
        return min((start for start in starts if start is not None), default=None)

    @property
    def adversaries(self) -> dict[str, Adversary]:
        """All adversaries in order, by label and position in the list."""
        return {
            f"{attacker.label}/{place}": adversary
            for attacker in self.attackers
            for place, adversary in enumerate(attacker.adversaries)
        }

    @property
    def servers(self) -> dict[str, ServerAdversary]:
        """Those in the server's position."""
        return {k: a for k, a in self.adversaries.items() if isinstance(a, ServerAdversary)}

    @property
    def participants(self) -> tuple[ParticipantAdversary, ...]:
        """Those in a participant's position."""
        return tuple(a for a in self.adversaries.values() if isinstance(a, ParticipantAdversary))


def federations_of(attackers: Sequence[Attacker]) -> tuple[PlannedFederation, ...]:
    """Return the federations that the attackers need, the honest one first if there is one."""
    passive = tuple(attacker for attacker in attackers if attacker.acts_from() is None)
    honest = (PlannedFederation(HONEST, passive),) if passive else ()
    active = (attacker for attacker in attackers if attacker.acts_from() is not None)
    return (*honest, *(PlannedFederation(attacker.label, (attacker,)) for attacker in active))
