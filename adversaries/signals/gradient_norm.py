"""The norm of a record's loss gradient over all parameters of the last observed snapshot.

Nasr, Shokri and Houmansadr, IEEE S&P 2019, section "gradient norm": SGD has pushed the gradients of
members towards zero.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.observed import observed_features, positions
from fedsim.attack import Attack, Known, Observation, RecordIds
from fedsim.progress import Watcher


class GradientNorm(Attack):
    """Score a record by minus the norm of its gradient on the last observed snapshot."""

    baseline = True

    def score(
        self,
        observation: Observation,
        known: Known,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the norm over all layers."""
        norms: NDArray[np.float64] = -self.trace(observation, watcher)[-1]
        return norms[positions(observation, candidates)]

    def trace(self, observation: Observation, watcher: Watcher) -> NDArray[np.float64]:
        """Return the norm of each record's gradient on each snapshot (snapshots, records)."""
        return np.stack(
            [
                np.linalg.norm(features.gradient_norms.astype(np.float64), axis=1)
                for features in observed_features(observation, watcher)
            ]
        )
