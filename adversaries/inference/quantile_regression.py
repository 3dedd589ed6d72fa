"""Quantile regression: a record's fit compared with a high quantile of similar non-members.

Bertran, Tang, Kearns, Morgenstern, Roth and Wu, *Scalable Membership Inference Attacks via Quantile
Regression*, NeurIPS 2023: a regression of the (1 - FPR) quantile of non-members' scores on what is
seen of a record, by the pinball loss max(a e, (a - 1) e); the record is a member if its score phi
is above its own quantile. No shadow model is trained.

The paper's regression reads the record. Here it reads the scalars of the record under the model
that training began with, which say how hard the record was *before*: what the victim was sent in
the round, or the aggregate of the observed round before. The score is phi - q(x) after, a mean over
rounds. Quantiles are linear, fitted to known non-members, each of which is scored out of fold.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import QuantileRegressor
from sklearn.model_selection import KFold

from adversaries.inference.feature_attack import FeatureAttack
from adversaries.inference.feature_cache import positions
from adversaries.inference.loss_series import before_and_after
from fedsim import seeds
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import Watcher

Floats = NDArray[np.float64]
_FOLDS = 5


class QuantileRegression(FeatureAttack):
    """Score a record by its excess over the conditional quantile of non-members.

    Parameters
    ----------
    fpr
        False positive rate of the quantile: a share ``fpr`` of the non-members lies above theirs.
    """

    stochastic = True
    needs = Needs(scalars=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS}))

    def __init__(self, fpr: Annotated[float, Field(gt=0, lt=1)] = 0.05) -> None:
        self.fpr = fpr

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean distance over the rounds.

        Raises
        ------
        FedsimError
            If nothing was seen before a model, or too few non-members are known.
        """
        scalars = {
            one: np.stack(
                [features.scalar(name) for name in view.objective.scalars], 1, dtype=np.float64
            )
            for one, features in self.features(view, watcher).items()
        }
        pairs = before_and_after(view)
        if not pairs:
            raise FedsimError(
                "quantile-regression reads a record before and after training: what was sent and "
                "what came back, or the aggregates of two rounds; observe more rounds "
                "(snapshots.rounds)"
            )
        outside = positions(view, known.records[~known.member])
        fewest = max(2 * _FOLDS, round(1 / self.fpr))
        if len(outside) < fewest:
            raise FedsimError(
                f"quantile-regression fits the quantile of an FPR of {self.fpr:g} to known "
                f"non-members and needs {fewest}, not {len(outside)}; set audit.known_nonmembers"
            )
        scores = np.mean(
            [
                above_quantile(scalars[after][:, 0], scalars[before], outside, self.fpr, seed)
                for before, after in pairs
            ],
            axis=0,
        )
        wanted: Floats = scores[positions(view, candidates)]
        return wanted


def above_quantile(
    values: Floats, covariates: Floats, outside: NDArray[np.intp], fpr: float, seed: int
) -> Floats:
    """Return how far values (N,) lie above the conditional quantile of some of them.

    Parameters
    ----------
    values, covariates
        What is regressed, and what it is regressed on, (N, S).
    outside
        The places that the quantile is fitted to; their own distances are out of fold.
    fpr
        One minus the level of the quantile.
    seed
        Of the folds.
    """
    spread = covariates[outside].std(0)
    rows = (covariates - covariates[outside].mean(0)) / np.where(spread > 0, spread, 1.0)

    def distance(learned: NDArray[np.intp], of: NDArray[np.intp]) -> Floats:
        model = QuantileRegressor(quantile=1 - fpr, alpha=0.0, solver="highs")
        model.fit(rows[learned], values[learned])
        found: Floats = values[of] - model.predict(rows[of])
        return found

    distances = distance(outside, np.arange(len(values)))
    cut = KFold(_FOLDS, shuffle=True, random_state=seeds.derive(seed, "folds") % 2**32)
    for rest, held_out in cut.split(outside):
        distances[outside[held_out]] = distance(outside[rest], outside[held_out])
    return distances
