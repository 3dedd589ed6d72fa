"""The norm of a record's loss gradient over all parameters of the last observed snapshot.

Nasr, Shokri and Houmansadr, IEEE S&P 2019, section "gradient norm": SGD has pushed the gradients of
members towards zero.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import (
    last_features,
    observed_features,
    own_features,
    positions,
)
from adversaries.inference.log_scalars import log_norm
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from adversaries.signals.ties import tell_ties
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

_NORMS = needed_features(Needs(gradient_norms="all"))
_LAST_LAYER = needed_features(Needs(last_layer_norms=True))
_COLUMN = "log gradient norm"


class GradientNorm(Attack):
    """Score a record by minus the log norm of its gradient on the last observed snapshot."""

    baseline = True
    needs = Needs(last_layer_norms=True, gradient_norms="all")

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes no memory to speak of."""
        tried_features(prospect, _NORMS)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the norms."""
        own_features(view, watcher, _NORMS)
        last = observed_features(view, watcher, _LAST_LAYER)
        if _COLUMN not in last[0].scalar_names:
            observed_features(view, watcher, _NORMS)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the logarithm of the norm over all layers."""
        last = last_features(view, watcher, _NORMS)
        scores = -log_norm(last)[positions(view, candidates)]
        tell_ties("gradient-norm", scores, watcher)
        return scores

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the norm of each record's last-layer gradient on each snapshot.

        Its shape is (snapshots, records). The last layer's is there in closed form for parameters,
        too, that were only sent, and of which nothing else is extracted. Of a model whose output no
        linear layer gives it is the norm over all layers, and 0 for what was only sent.
        """
        found = observed_features(view, watcher, _LAST_LAYER)
        if _COLUMN not in found[0].scalar_names:
            found = observed_features(view, watcher, _NORMS)
            return np.stack([np.exp(log_norm(one)) for one in found])
        return np.stack([np.exp(one.scalar(_COLUMN).astype(np.float64)) for one in found])
