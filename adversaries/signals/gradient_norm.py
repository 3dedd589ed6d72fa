"""The norm of a record's loss gradient over all parameters of the last observed snapshot.

Nasr, Shokri and Houmansadr, IEEE S&P 2019, section "gradient norm": SGD has pushed the gradients of
members towards zero.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import last_features, observed_features, positions
from adversaries.inference.features import SCALARS, SnapshotFeatures
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class GradientNorm(Attack):
    """Score a record by minus the norm of its gradient on the last observed snapshot."""

    baseline = True
    needs = Needs(scalars=True, gradient_norms="all")

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the norm over all layers."""
        last = last_features(view, watcher)
        return -_norms(last)[positions(view, candidates)]

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the norm of each record's last-layer gradient on each snapshot.

        Its shape is (snapshots, records). The last layer's is there in closed form for parameters,
        too, that were only sent, and of which nothing else is extracted.
        """
        column = SCALARS.index("log gradient norm")
        found = observed_features(view, watcher)
        return np.stack([np.exp(one.scalars[:, column].astype(np.float64)) for one in found])


def _norms(features: SnapshotFeatures) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(features.gradient_norms.astype(np.float64), axis=1)
    return norms
