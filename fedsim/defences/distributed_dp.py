"""Distributed differential privacy: each participant adds a share of the noise, the server sums.

Dwork et al., "Our Data, Ourselves" (EUROCRYPT 2006); with secure aggregation Truex et al. (AISec
2019). Each upload has noise of ``noise_multiplier * clipping_norm / sqrt(n)`` for n participants in
a round: as the server is shown sums only, it meets the noise of all of them together, as large as
that of `fixed-clipping`, and needs not be trusted to add it. Discrete noise, which protocols over
finite fields need (Kairouz, Liu and Steinke, ICML 2021), is not simulated.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

from flwr.serverapp.strategy import Strategy

from fedsim.defences.base import Half, Hidden
from fedsim.defences.fixed_clipping import why_no_mean
from fedsim.defences.local_dp import FIGURES, LocalDP
from fedsim.defences.outer_strategy import SumsOnly
from fedsim.defences.secure_aggregation import UPLOADS, alone_in_sums, require_sums
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee
from fedsim.privacy.gaussian import participant_guarantee, why_unbounded
from fedsim.privacy.guarantee import EVERYBODY


class DistributedDP(LocalDP):
    """Participants clip, and add a share of the noise each; the server is shown sums only.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise in the sum of equally large updates, in clipping norms.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants", "server"})

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"participants shorten updates that are longer than {self.max_norm:g}, and each adds a "
            f"share of noise of {self.noise_multiplier:g} times that; the server is shown sums "
            "only (an exact stand-in in simulation, without cryptography)"
            f"{alone_in_sums(self.facts)}"
        )

    def deviation(self, round_number: int) -> float:
        """Return the standard deviation of the noise on each parameter of an upload."""
        sharing = len(self.facts.shares[round_number]) if self.facts is not None else 1
        return super().deviation(round_number) / math.sqrt(sharing)

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy, marked as one that is shown sums."""
        require_sums(strategy)
        return SumsOnly(strategy)

    def hides(self) -> tuple[Hidden, ...]:
        """Hide the uploads from the server."""
        return (UPLOADS,)

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return the guarantee of a participant by the noise of the others.

        One participant's share, the largest, is not counted: the attacker may be that one.
        """
        why = why_unbounded(facts, self.noise_multiplier) or why_no_mean(facts)
        if facts.later:
            why = why or f"{facts.later[0]} acts on updates that have only a share of the noise"
        alone = [number for number, there in facts.shares.items() if len(there) == 1]
        if alone:
            why = why or f"in round {alone[0]} a participant is alone, and no other adds noise"
        if why is not None:
            return NoGuarantee(why)
        return participant_guarantee(
            facts,
            self._multipliers,
            delta=self.delta,
            accountant=self.accountant,
            against=EVERYBODY,
            assumptions=("server and participants follow the protocol", FIGURES),
        )

    def _multipliers(self, shares: Mapping[int, float]) -> Mapping[int, float]:
        """Return the noise of all but one over how far each participant moves the mean."""
        squares = sorted(share**2 for share in shares.values())
        noise = self.noise_multiplier * math.sqrt(sum(squares[:-1]) / len(squares))
        return {participant: noise / share for participant, share in shares.items()}
