"""Cross-fitting: every known record is scored by models that were not trained on it.

An attacker knows a few thousand records, too few to set some aside for validation. They are split
into K folds, and one model is trained without each. Its scores on the held-out fold are unbiased,
so thresholds and epochs can be chosen on them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedsim import seeds
from fedsim.errors import DataError

BoolArray = NDArray[np.bool_]
Positions = NDArray[np.intp]
ScoreArray = NDArray[np.float64]
OnProgress = Callable[[int], None]


def folds(
    member: BoolArray, count: int, seed: int, repeat: int = 0
) -> list[tuple[Positions, Positions]]:
    """Return the positions (training, held out) of each fold, stratified by membership.

    Raises
    ------
    DataError
        If there is not at least one member and one non-member for every fold.
    """
    fewest = min(int(member.sum()), int((~member).sum()))
    if fewest < count:
        raise DataError(
            f"training on {count} folds takes at least {count} known members and {count} known "
            f"non-members, and one side has {fewest}"
        )
    state = seeds.derive(seed, "folds", repeat) % 2**32  # as wide as scikit-learn takes
    cut = StratifiedKFold(count, shuffle=True, random_state=state)
    return list(cut.split(np.zeros(len(member)), member))


def scalar_logistic(
    rows: NDArray[np.float32],
    member: BoolArray,
    others: NDArray[np.float32],
    fold_count: int,
    seed: int,
) -> tuple[ScoreArray, ScoreArray]:
    """Score records by a cross-fitted logistic regression on the scalars of all snapshots.

    Parameters
    ----------
    rows
        (N, columns) of the known records.
    member
        (N,) their truth.
    others
        (M, columns) of other records, the candidates.
    fold_count
        Number of folds of the known records.
    seed
        Seed of the split into folds.

    Returns
    -------
    (array, array)
        Log-odds of membership (N,) of the known records, out of fold, and (M,) of the candidates.
    """
    held_out_scores, candidate_scores = np.zeros(len(rows)), np.zeros(len(others))
    for rest, held_out in folds(member, fold_count, seed):
        # Newton's method: few columns, so a step costs little, and four steps do what L-BFGS does
        # in a hundred, to more digits.
        regression = LogisticRegression(solver="newton-cholesky")
        model = make_pipeline(StandardScaler(), regression)
        model.fit(rows[rest], member[rest])
        held_out_scores[held_out] = model.decision_function(rows[held_out])
        candidate_scores += model.decision_function(others) / fold_count
    return held_out_scores, candidate_scores
