"""The loss over the rounds without training: its level, its slope, or its change within a round.

Gu, Bai and Xu, *CS-MIA: Membership inference attack based on prediction confidence series in
federated learning*, JISA 67, 2022, in the training-free form of Zhu et al. (FedMIA, CVPR 2025):
the mean over the observed rounds of minus the loss. A slope is the least-squares one of
the fit on the round. The change is what local training did to the fit, from what the victim was
sent to what it uploaded; where aggregates alone are seen, from one observed aggregate to the next.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_attack import FeatureAttack
from adversaries.inference.feature_cache import positions
from adversaries.inference.features import SnapshotFeatures
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.needs import Needs
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher

Floats = NDArray[np.float64]


class LossSeries(FeatureAttack):
    """Score a record by its fit over the observed rounds (Gu et al. 2022), training-free.

    Parameters
    ----------
    score
        ``level`` (default): the mean; ``slope``: how fast it rises; ``change``: the mean rise
        within a round, from what was sent to what came back.
    measure
        ``log-odds`` (default), or ``loss``, whose minus is taken.
    """

    needs = Needs(scalars=True)

    def __init__(
        self,
        score: Literal["level", "slope", "change"] = "level",
        measure: Literal["log-odds", "loss"] = "log-odds",
    ) -> None:
        self.kind, self.measure = score, measure

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the level, the slope, or the change.

        Raises
        ------
        FedsimError
            If so few rounds have none.
        """
        fits = {one: self._fit(found) for one, found in self.features(view, watcher).items()}
        series = np.stack([fits[one] for one in view.closest])
        scores = series.mean(0)
        if self.kind == "slope":
            rounds = np.array([float(one.round) for one in view.closest])
            scores = slopes(rounds, series)
        elif self.kind == "change":
            pairs = before_and_after(view)
            if not pairs:
                raise FedsimError(
                    "loss-series: a change takes what was sent and what came back, or the "
                    "aggregates of two rounds; observe more rounds (snapshots.rounds)"
                )
            scores = np.mean([fits[after] - fits[before] for before, after in pairs], axis=0)
        wanted: Floats = scores[positions(view, candidates)]
        return wanted

    def _fit(self, features: SnapshotFeatures) -> Floats:
        values = -features.losses if self.measure == "loss" else features.scalars[:, 0]
        return values.astype(np.float64)


def before_and_after(view: View) -> list[tuple[Snapshot, Snapshot]]:
    """Return what training began with, and its end: what was sent and came back, or aggregates.

    Where nothing that was sent is seen, they are the aggregates of observed rounds in turn.
    """
    pairs = [pair for pair in view.changes if pair[1] in view.closest]
    return pairs or list(pairwise(view.closest))


def slopes(rounds: Floats, series: Floats) -> Floats:
    """Return the least-squares slope of each column of a series (T, N) on the rounds (T,).

    >>> slopes(np.array([1.0, 2.0, 4.0]), np.array([[0.0], [2.0], [6.0]]))
    array([2.])

    Raises
    ------
    FedsimError
        If there is one round only.
    """
    if len(rounds) < 2:
        raise FedsimError(
            "loss-series: a slope takes two observed rounds, and there is one; observe more rounds "
            "(snapshots.rounds)"
        )
    centred = rounds - rounds.mean()
    found: Floats = centred @ series / (centred @ centred)
    return found
