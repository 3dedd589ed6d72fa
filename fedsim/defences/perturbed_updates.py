"""Participants add Gaussian noise to their update, which nobody clips.

The gradient perturbation that Zhu et al. try against their attack (FedMIA, CVPR 2025). Unclipped, a
record's influence has no bound, so there is no differential privacy in it, whatever the noise.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.base import require_positive
from fedsim.defences.transformed_updates import TransformedUpdates, Update


class PerturbedUpdates(TransformedUpdates):
    """Add independent Gaussian noise to every entry of an update.

    Parameters
    ----------
    standard_deviation
        Standard deviation of the noise, in the unit of the parameters.
    """

    def __init__(
        self, standard_deviation: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    ) -> None:
        self.standard_deviation = require_positive("standard_deviation", standard_deviation)

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"participants add noise of standard deviation {self.standard_deviation:g} to every "
            "parameter, and clip nothing"
        )

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with noise on it."""
        return {
            name: values + self.standard_deviation * generator.standard_normal(values.shape)
            for name, values in update.items()
        }
