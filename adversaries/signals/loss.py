"""The loss of a record on the last observed snapshot.

Yeom, Giacomelli, Fredrikson and Jha, "Privacy risk in machine learning", CSF 2018: members have the
lower loss.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import last_features, positions
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class Loss(Attack):
    """Score a record by minus its cross-entropy on the last observed snapshot."""

    baseline = True
    needs = Needs(which="last", scalars=True)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the loss, in nats."""
        last = last_features(view, watcher)
        return -last.losses[positions(view, candidates)].astype(np.float64)
