"""Random scores: the figures that guessing achieves."""

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class Chance(Attack):
    """Draw every score at random: what guessing achieves."""

    stochastic = True
    baseline = True
    needs = Needs()

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return uniform numbers in [0, 1)."""
        return seeds.generator(seed, "chance").random(len(candidates))
