"""Clipped updates with Gaussian noise, wherever it is added: the settings that defences share."""

from typing import Annotated

from pydantic import Field

from fedsim.defences.clipped_updates import ClippedUpdates
from fedsim.privacy import Accountant
from fedsim.privacy.accountants import NoiseMultiplier

Norm = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Noise = NoiseMultiplier
Delta = Annotated[float, Field(gt=0, lt=1)]
Budget = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class NoisyClipping(ClippedUpdates):
    """A defence that clips updates and adds noise to them or to their sum.

    Parameters
    ----------
    clipping_norm
        Euclidean length, over all trainable parameters together, that an update may have.
    noise_multiplier
        Standard deviation of the noise, in clipping norms.
    delta
        The delta at which epsilon is reported.
    budget
        The largest epsilon; the federation ends before the round that would exceed it.
    accountant
        ``rdp`` or ``prv`` of Opacus, or ``pld`` of dp-accounting.
    """

    def __init__(
        self,
        clipping_norm: Norm,
        noise_multiplier: Noise,
        delta: Delta = 1e-5,
        budget: Budget | None = None,
        accountant: Accountant = "rdp",
    ) -> None:
        super().__init__(clipping_norm)
        self.noise_multiplier = noise_multiplier
        self.delta = delta
        self.budget = budget
        self.accountant: Accountant = accountant
