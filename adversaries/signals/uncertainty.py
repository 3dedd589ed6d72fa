"""How uncertain the model is about a record: the entropy of its prediction, 1 for the greatest.

Salem et al., "ML-Leaks", NDSS 2019, adversary 3 (entropy as a signal); Nasr, Shokri and Houmansadr,
IEEE S&P 2019, show it by class: members are predicted with less uncertainty.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import last_features, observed_features, positions
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.log_scalars import log_entropy, normalised_entropy
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from adversaries.signals.ties import tell_ties
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

_NEEDS = Needs(outputs=True)
_OUTPUT = needed_features(_NEEDS)


class Uncertainty(Attack):
    """Score a record by minus the log uncertainty of its prediction on the last snapshot.

    For classifiers: the uncertainty is the entropy of the prediction, over its greatest value.
    """

    baseline = True
    needs = _NEEDS

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes no memory to speak of."""
        _require_classes(tried_features(prospect, _OUTPUT))

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the predictions."""
        observed_features(view, watcher, _OUTPUT)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the logarithm of the normalised entropy; 0 for none of the classes."""
        last = last_features(view, watcher, _OUTPUT)
        _require_classes(last)
        scores = -log_entropy(last)[positions(view, candidates)]
        tell_ties("uncertainty", scores, watcher)
        return scores

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the uncertainty about each record on each snapshot (snapshots, records)."""
        features = observed_features(view, watcher, _OUTPUT)
        return np.stack([normalised_entropy(found) for found in features])


def _require_classes(features: SnapshotFeatures) -> None:
    if not features.classes:
        raise FedsimError(
            "the uncertainty of a prediction is that of a classifier, and the objective is none; "
            "choose another attack (loss reads any objective)"
        )
