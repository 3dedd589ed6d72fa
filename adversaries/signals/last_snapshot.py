"""Base of the signals of the last observed snapshot: one number per record, without training."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import last_features, own_features, positions
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class LastSnapshotSignal(Attack):
    """Score a record by a signal on the last snapshot closest to the victims' data.

    Attributes
    ----------
    name
        The name of the attack where ties are reported.
    scored
        The needs of the signal; `needs` may have more, for a trace.
    """

    baseline = True
    name: ClassVar[str]
    scored: ClassVar[Needs]

    @abstractmethod
    def signal(self, features: SnapshotFeatures) -> NDArray[np.float64]:
        """Return the signal (N,) of the records on one snapshot; higher means member.

        Raises
        ------
        FedsimError
            If the features are those of an objective that has no such signal.
        """

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the signal on one record; it takes little memory."""
        self.signal(tried_features(prospect, needed_features(self.scored)))

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the signal is computed from."""
        own_features(view, watcher, needed_features(self.scored))

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the candidates' signal on the last snapshot."""
        last = last_features(view, watcher, needed_features(self.scored))
        scores = self.signal(last)[positions(view, candidates)]
        report_ties(self.name, scores, watcher)
        return scores


REPORTED_SHARE = 0.01
"""The share of tied records above which it is reported."""


def count_ties(scores: NDArray[np.float64]) -> int:
    """Return how many scores are the same as another one."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def report_ties(name: str, scores: NDArray[np.float64], watcher: Watcher) -> None:
    """Say how many scores are tied, where they are more than a few."""
    count = count_ties(scores)
    if count > REPORTED_SHARE * len(scores):
        watcher.say(
            f"{name}: {count:,} of {len(scores):,} records have a score that another record has, "
            "too; nothing separates them"
        )
