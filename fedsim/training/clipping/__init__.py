"""Sums of clipped gradients, one per record: by layer or by the samples of Opacus; and noise."""

from fedsim.training.clipping.base import Clipping
from fedsim.training.clipping.choice import choose_clipping
from fedsim.training.clipping.noise import StepNoise

__all__ = ["Clipping", "StepNoise", "choose_clipping"]
