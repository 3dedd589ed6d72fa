"""How uncertain the model is about a record: the entropy of its prediction, 1 for the greatest.

Salem et al., "ML-Leaks", NDSS 2019, adversary 3 (entropy as a signal); Nasr, Shokri and Houmansadr,
IEEE S&P 2019, show it by class: members are predicted with less uncertainty.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from adversaries.inference.feature_cache import last_features, observed_features, positions
from adversaries.inference.features import SnapshotFeatures
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class Uncertainty(Attack):
    """Score a record by minus the uncertainty of its prediction on the last observed snapshot."""

    baseline = True
    needs = Needs(outputs=True)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the normalised entropy, 0 for certainty and -1 for none."""
        last = last_features(view, watcher)
        return -normalised_entropy(last)[positions(view, candidates)]

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the uncertainty about each record on each snapshot (snapshots, records)."""
        features = observed_features(view, watcher)
        return np.stack([normalised_entropy(found) for found in features])


def normalised_entropy(features: SnapshotFeatures) -> NDArray[np.float64]:
    """Return -sum p log p / log C of the predictions over C classes, (N,) in 0..1."""
    log_p = log_softmax(features.logits.astype(np.float64), axis=1)
    entropy: NDArray[np.float64] = -(np.exp(log_p) * log_p).sum(axis=1) / np.log(log_p.shape[1])
    return entropy
