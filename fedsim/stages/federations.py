"""Which federations an experiment takes: passive parties share the honest one.

An active party changes what everybody trains on, so each has a federation to itself, and what the
honest one does up to the round in which the party acts is the same in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.adversary.base import Adversary
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import HONEST
from fedsim.stages.setup import Party


@dataclass(frozen=True)
class Federation:
    """One federation of an experiment: its name and the parties in it."""

    name: str
    parties: tuple[Party, ...]

    def acts_from(self) -> int | None:
        """Return the first round that is not honest; None if all are."""
        starts = [party.acts_from() for party in self.parties]
        return min((start for start in starts if start is not None), default=None)

    @property
    def seated(self) -> dict[str, Adversary]:
        """All adversaries in their order, by label and place."""
        return {
            f"{party.label}/{place}": adversary
            for party in self.parties
            for place, adversary in enumerate(party.adversaries)
        }

    @property
    def servers(self) -> dict[str, ServerAdversary]:
        """Those in the server's seat."""
        return {k: a for k, a in self.seated.items() if isinstance(a, ServerAdversary)}

    @property
    def participants(self) -> tuple[ParticipantAdversary, ...]:
        """Those in a participant's seat."""
        return tuple(a for a in self.seated.values() if isinstance(a, ParticipantAdversary))


def federations_of(parties: Sequence[Party]) -> tuple[Federation, ...]:
    """Return the federations that parties take, the honest one first if there is one."""
    passive = tuple(party for party in parties if party.acts_from() is None)
    honest = (Federation(HONEST, passive),) if passive else ()
    active = (party for party in parties if party.acts_from() is not None)
    return (*honest, *(Federation(party.label, (party,)) for party in active))
