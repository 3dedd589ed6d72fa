"""The norm of a record's loss gradient over all parameters of the last observed snapshot.

Nasr, Shokri and Houmansadr, IEEE S&P 2019, section "gradient norm": SGD has pushed the gradients of
members towards zero.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import observed_features
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.log_scalars import log_norm
from adversaries.inference.needed_features import needed_features
from adversaries.signals.last_snapshot import LastSnapshotSignal
from fedsim.attacks import View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

_LAST_LAYER = needed_features(Needs(last_layer_norms=True))
_COLUMN = "log gradient norm"


class GradientNorm(LastSnapshotSignal):
    """Score a record by minus the log norm of its gradient on the last observed snapshot."""

    name = "gradient-norm"
    scored = Needs(gradient_norms="all")
    needs = Needs(last_layer_norms=True, gradient_norms="all")

    def signal(self, features: SnapshotFeatures) -> NDArray[np.float64]:
        """Return minus the logarithm of the norm over all layers."""
        return -log_norm(features)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the norms, and those of the last layer for the trace."""
        super().extract(view, watcher)
        last = observed_features(view, watcher, _LAST_LAYER)
        if _COLUMN not in last[0].scalar_names:
            observed_features(view, watcher, needed_features(self.scored))

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the norm of each record's last-layer gradient on each snapshot.

        Its shape is (snapshots, records). For the last layer there is a closed form, which is also
        used for parameters that were only sent, from which nothing else is extracted. For a model
        that does not end in a linear layer it is the norm over all layers, and 0 for parameters
        that were only sent.
        """
        found = observed_features(view, watcher, _LAST_LAYER)
        if _COLUMN not in found[0].scalar_names:
            found = observed_features(view, watcher, needed_features(self.scored))
            return np.stack([np.exp(log_norm(one)) for one in found])
        return np.stack([np.exp(one.scalar(_COLUMN).astype(np.float64)) for one in found])
