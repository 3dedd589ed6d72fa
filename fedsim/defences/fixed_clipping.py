"""Central noise on clipped updates, both halves of it: Flower's fixed clipping made whole.

Flower's ``DifferentialPrivacyClientSideFixedClipping`` adds the server's noise and relies on a mod
in the participants' app to clip; without the mod nobody clips, and the noise has no bound to go by.
Here the two come together, as in McMahan et al., "Learning Differentially Private Recurrent
Language Models" (ICLR 2018): each participant clips its update to `clipping_norm`, and the server
adds Gaussian noise to their mean, of standard deviation ``noise_multiplier * clipping_norm`` over
the number of participants in a round.
"""

import math
from typing import ClassVar

from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, Strategy

from fedsim.defences.base import Half
from fedsim.defences.clipped_updates import ClippedUpdates
from fedsim.errors import ConfigError


class FixedClipping(ClippedUpdates):
    """Participants clip their updates, and the server adds noise to the aggregate.

    Parameters
    ----------
    clipping_norm
        Euclidean length, over all trainable parameters together, that an update may have.
    noise_multiplier
        Standard deviation of the noise in a sum of updates, in clipping norms.
    sampled
        How many participants train in a round; by default all that are there in the round with the
        fewest.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants", "server"})

    def __init__(
        self, clipping_norm: float, noise_multiplier: float, sampled: int | None = None
    ) -> None:
        if not (clipping_norm > 0 and math.isfinite(clipping_norm)):
            raise ValueError(f"clipping_norm must be a positive number, not {clipping_norm}")
        if not (noise_multiplier >= 0 and math.isfinite(noise_multiplier)):
            raise ValueError(f"noise_multiplier must be 0 or more, not {noise_multiplier}")
        if sampled is not None and sampled < 1:
            raise ValueError(f"sampled must be at least 1, not {sampled}")
        super().__init__(clipping_norm)
        self.noise_multiplier = noise_multiplier
        self.sampled = sampled

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"participants shorten updates that are longer than {self.max_norm:g}, and the server "
            f"adds noise of {self.noise_multiplier:g} times that to their sum"
        )

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy with Flower's noise on its aggregate."""
        if self.facts is None and self.sampled is None:
            raise ConfigError("fixed-clipping: say how many participants train in a round: sampled")
        sampled = self.sampled or (self.facts.present if self.facts is not None else 0)
        return DifferentialPrivacyClientSideFixedClipping(
            strategy, self.noise_multiplier, self.max_norm, sampled
        )
