"""How uncertain the model is about a record: the entropy of its prediction, 1 for the greatest.

Salem et al., "ML-Leaks", NDSS 2019, adversary 3 (entropy as a signal); Nasr, Shokri and Houmansadr,
IEEE S&P 2019, show it by class: members are predicted with less uncertainty.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import observed_features
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.log_scalars import log_entropy, normalised_entropy
from adversaries.inference.needed_features import needed_features
from adversaries.signals.last_snapshot import LastSnapshotSignal
from fedsim.attacks import View
from fedsim.errors import FedsimError
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class Uncertainty(LastSnapshotSignal):
    """Score a record by minus the log uncertainty of its prediction on the last snapshot.

    For classifiers: the uncertainty is the entropy of the prediction, over its greatest value.
    """

    name = "uncertainty"
    needs = scored = Needs(outputs=True)

    def signal(self, features: SnapshotFeatures) -> NDArray[np.float64]:
        """Return minus the logarithm of the normalised entropy.

        Raises
        ------
        FedsimError
            If the objective is no classification.
        """
        if not features.classes:
            raise FedsimError(
                "the uncertainty of a prediction is that of a classifier, and the objective is "
                "none; choose another attack (loss reads any objective)"
            )
        return -log_entropy(features)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the predictions, also on parameters that were only sent."""
        observed_features(view, watcher, needed_features(self.needs))

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the uncertainty about each record on each snapshot (snapshots, records)."""
        features = observed_features(view, watcher, needed_features(self.needs))
        return np.stack([normalised_entropy(found) for found in features])
