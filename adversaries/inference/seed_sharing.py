"""Attacks that train for all attack seeds at once: one seed is a special case of several."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.progress import Watcher


class SeedSharingAttack(Attack):
    """An attack whose networks of several seeds are trained together."""

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the scores of one seed; higher means member."""
        return self.score_seeds(view, known, candidates, [seed], watcher)[0]

    @abstractmethod
    def score_seeds(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[NDArray[np.float64]]:
        """Return the scores of each seed."""
