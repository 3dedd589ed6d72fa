"""How well a record is fitted on the last observed snapshot.

Yeom, Giacomelli, Fredrikson and Jha, "Privacy risk in machine learning", CSF 2018: members have the
lower loss. The loss of a record that a model is sure of is 0 in single precision; the objective's
first scalar (the log-odds of the label, of a classifier) has the same order and all its digits.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import last_features, own_features, positions
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from adversaries.signals.ties import tell_ties
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

_NEEDS = Needs(which="last", scalars=True)
_FIT = needed_features(_NEEDS)


class Loss(Attack):
    """Score a record by how well it is fitted on the last observed snapshot: low loss, high score.

    It takes one forward pass of that snapshot, of any model.
    """

    baseline = True
    needs = _NEEDS

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes no memory to speak of."""
        tried_features(prospect, _FIT)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the losses."""
        own_features(view, watcher, _FIT)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the log-odds of the label; of another objective what stands for the fit."""
        last = last_features(view, watcher, _FIT)
        scores: NDArray[np.float64] = last.scalars[positions(view, candidates), 0].astype(
            np.float64
        )
        tell_ties("loss", scores, watcher)
        return scores
