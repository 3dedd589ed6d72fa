"""The curves of an attack's scores that a report draws: ROC, histogram, accuracy by class.

They are plain arrays, small enough to embed in a page; `fedsim.report` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metric import Floats
from fedsim.evaluation.scores import EvaluationError, Ids


@dataclass(frozen=True, eq=False)
class Roc:
    """The best TPR at an FPR of at most `fpr`: (points,) each, `fpr` ascending from 0 to 1."""

    fpr: Floats
    tpr: Floats


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of members and of non-members in each bin: `edges` is (bins + 1,), the rest (bins,).

    The outermost bins also count the scores beyond them.
    """

    edges: Floats
    members: Floats
    nonmembers: Floats


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the records of one class, and the number of these records."""

    label: int
    accuracy: float
    records: int


def mean_roc(cases: Sequence[EvaluationCase], points: int = 200) -> Roc:
    """Return the ROC averaged vertically over seeds and victims (Fawcett 2006, section 9.1).

    Each point is a whole number of false positives. Points are evenly spaced on a logarithmic axis,
    so that the curve can be drawn on a linear and on a logarithmic axis; it is a step function.
    """
    fewest = min(case.joined.nonmembers for case in cases)
    budgets = np.unique(np.round(np.geomspace(1, fewest, points)).astype(np.int64))
    fpr = np.append(0.0, budgets / fewest)
    curves = [_staircase(*scores, fpr) for case in cases for scores in case.joined.split()]
    return Roc(fpr, np.mean(curves, axis=0))


def score_histogram(case: EvaluationCase, bins: int = 40) -> Histogram:
    """Return the histogram of the scores of members and of non-members, over all seeds.

    Bins have equal width between the 0.5 % and the 99.5 % quantile, because a single outlier would
    otherwise leave nearly all scores in one bin.
    """
    scores = case.joined.scores
    low, high = np.quantile(scores, [0.005, 0.995])
    if high <= low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, bins + 1)
    clipped = np.clip(scores, low, high)
    shares = [
        np.histogram(clipped[:, side], edges)[0] / clipped[:, side].size
        for side in (case.joined.member, ~case.joined.member)
    ]
    return Histogram(edges, *shares)


def accuracy_by_class(case: EvaluationCase, records: Ids, labels: ArrayLike) -> list[ClassAccuracy]:
    """Return the accuracy on the records of each class, mean over seeds, in order of label.

    Parameters
    ----------
    case
        The scores.
    records, labels
        int (n,) each: the class of each record. They may cover more records than were evaluated.
    """
    classes = np.asarray(labels)
    order = np.argsort(records)
    places = np.searchsorted(records, case.joined.records, sorter=order).clip(max=len(records) - 1)
    if (lost := case.joined.records[records[order][places] != case.joined.records]).size:
        raise EvaluationError(
            f"{lost.size} evaluated records have no class, record {lost[0]} among them; "
            "every evaluated record needs one"
        )
    label = classes[order][places]
    called = case.joined.scores >= case.thresholds[:, None]
    right = (called == case.joined.member).mean(axis=0)
    return [
        ClassAccuracy(int(one), float(right[label == one].mean()), int((label == one).sum()))
        for one in np.unique(label)
    ]


def quartiles(values: ArrayLike) -> Floats:
    """Return the lower quartile, median and upper quartile of each row, float64 (rows, 3)."""
    return np.quantile(np.asarray(values, dtype=np.float64), [0.25, 0.5, 0.75], axis=1).T


def _staircase(members: Floats, nonmembers: Floats, fpr: Floats) -> Floats:
    """Return `metrics.tpr.tpr_at_fpr` at every one of `fpr`: float64 (points,)."""
    falling = np.append(np.sort(nonmembers)[::-1], -np.inf)
    budgets = np.floor(np.round(fpr * len(nonmembers), 6)).astype(np.int64)
    below = np.searchsorted(np.sort(members), falling[budgets], side="right")
    return (len(members) - below) / len(members)
