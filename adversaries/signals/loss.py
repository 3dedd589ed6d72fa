"""The loss of a record on the last observed snapshot.

Yeom, Giacomelli, Fredrikson and Jha, "Privacy risk in machine learning", CSF 2018: members have the
lower loss. The loss of a confident prediction is 0 in single precision; the objective's first
scalar (for a classifier the log-odds of the label) has the same order and does not underflow.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.features import SnapshotFeatures
from adversaries.signals.last_snapshot import LastSnapshotSignal
from fedsim.observation.needs import Needs


class Loss(LastSnapshotSignal):
    """Score a record by how well it is fitted on the last observed snapshot: low loss, high score.

    It takes one forward pass of that snapshot, of any model.
    """

    name = "loss"
    needs = scored = Needs(which="last", scalars=True)

    def signal(self, features: SnapshotFeatures) -> NDArray[np.float64]:
        """Return the log-odds of the label; for other objectives their measure of fit."""
        return features.scalars[:, 0].astype(np.float64)
