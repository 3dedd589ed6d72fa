"""What two sets of scores say: ROC, AUC, TPR at a fixed FPR, accuracy at a threshold.

Pure functions of two float arrays, the scores of members and of non-members; higher means member.
A record is called a member when its score is *at least* the threshold. Nothing here knows whose
scores these are, and nothing draws at random: intervals live in `fedsim.evaluation.intervals`.

Sources: Fawcett, *An introduction to ROC analysis*, 2006 (ROC, AUC, vertical averaging); Carlini et
al., *Membership Inference Attacks From First Principles*, S&P 2022 (TPR at low FPR).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TprAtFpr:
    """The true positive rate that a budget of false positives buys.

    Attributes
    ----------
    tpr
        Share of members whose score is above every score that the budget rules out.
    false_positives
        Non-members actually called members; fewer than the budget allows where scores tie.
    """

    tpr: float
    false_positives: int


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The corners of an ROC: arrays of one length, `fpr` and `tpr` rising from 0 to 1.

    `threshold` falls from infinity; calling a score at least `threshold[i]` a member gives point i.
    """

    fpr: Floats
    tpr: Floats
    threshold: Floats


def roc_curve(members: Floats, nonmembers: Floats) -> RocCurve:
    """Return the empirical ROC, one point for each distinct score and the origin.

    >>> curve = roc_curve(np.array([3.0, 2.0]), np.array([2.0, 1.0]))
    >>> curve.fpr.tolist(), curve.tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    levels = np.unique(np.concatenate([members, nonmembers]))[::-1]
    return RocCurve(
        fpr=np.append(0.0, _share_at_least(nonmembers, levels)),
        tpr=np.append(0.0, _share_at_least(members, levels)),
        threshold=np.append(np.inf, levels),
    )


def auc(members: Floats, nonmembers: Floats) -> float:
    """Return the probability that a member scores above a non-member, ties counting half.

    This is the area under the ROC and the Mann-Whitney U over its maximum (Hanley & McNeil 1982).

    >>> auc(np.array([3.0, 2.0]), np.array([2.0, 1.0]))
    0.875
    """
    ordered = np.sort(nonmembers)
    below = np.searchsorted(ordered, members, side="left")
    not_above = np.searchsorted(ordered, members, side="right")
    return float((below + not_above).mean() / (2 * len(nonmembers)))


def false_positive_budget(fpr: float, nonmembers: int) -> int:
    """Return how many of `nonmembers` may be called members at a rate of at most `fpr`.

    >>> false_positive_budget(0.01, 1000), false_positive_budget(0.001, 1500)
    (10, 1)
    """
    # 0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: round before flooring.
    return int(np.floor(round(fpr * nonmembers, 6)))


def tpr_at_fpr(members: Floats, nonmembers: Floats, fpr: float) -> TprAtFpr:
    """Return the largest TPR whose FPR is *at most* `fpr`, never interpolated between points.

    Conservative on ties: a tied block of non-members that does not fit into the budget is left
    out whole, and the members tied with it are left out too.

    >>> members, nonmembers = np.array([9.0, 5.0, 5.0, 1.0]), np.array([5.0, 4.0, 3.0, 2.0])
    >>> tpr_at_fpr(members, nonmembers, 0.25)
    TprAtFpr(tpr=0.75, false_positives=1)
    >>> tpr_at_fpr(members, np.array([5.0, 5.0, 3.0, 2.0]), 0.25)
    TprAtFpr(tpr=0.25, false_positives=0)
    """
    budget = false_positive_budget(fpr, len(nonmembers))
    if budget >= len(nonmembers):
        return TprAtFpr(1.0, len(nonmembers))
    # The score that must not be reached: the first non-member that the budget cannot pay for.
    barrier = np.partition(nonmembers, len(nonmembers) - budget - 1)[len(nonmembers) - budget - 1]
    return TprAtFpr(float((members > barrier).mean()), int((nonmembers > barrier).sum()))


def balanced_accuracy(members: Floats, nonmembers: Floats, threshold: float) -> float:
    """Return the mean of the shares of members and of non-members that are called rightly.

    Equal to plain accuracy where there are as many members as non-members.

    >>> balanced_accuracy(np.array([3.0, 2.0]), np.array([2.0, 1.0]), threshold=2.5)
    0.75
    """
    return float(((members >= threshold).mean() + (nonmembers < threshold).mean()) / 2)


def best_threshold(members: Floats, nonmembers: Floats) -> float:
    """Return the threshold of the highest balanced accuracy; call it on calibration scores only.

    Thresholds lie halfway between neighbouring scores. Where several are equally good the middle
    one is taken: on a plateau either end would be the luck of one record.

    >>> best_threshold(np.array([4.0, 3.0]), np.array([2.0, 1.0]))
    2.5
    """
    levels = np.unique(np.concatenate([members, nonmembers]))
    halfway = levels[:-1] + np.diff(levels) / 2
    # Two neighbouring floats have no float between them; then the upper one is the threshold.
    between = np.where(halfway > levels[:-1], halfway, levels[1:])
    candidates = np.concatenate([[levels[0]], between, [np.nextafter(levels[-1], np.inf)]])
    gain = _share_at_least(members, candidates) - _share_at_least(nonmembers, candidates)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(candidates[best[len(best) // 2]])


def refusal(fpr: float, nonmembers: int) -> str | None:
    """Return why a TPR at `fpr` may not be reported for so few non-members, or None if it may.

    Below 1/FPR non-members the budget is not even one false positive, and the figure is noise.

    >>> refusal(0.001, 500)
    'needs >= 1,000 non-members, has 500'
    >>> refusal(0.001, 1000) is None
    True
    """
    needed = int(np.ceil(round(1 / fpr, 6)))
    return None if nonmembers >= needed else f"needs >= {needed:,} non-members, has {nonmembers:,}"


def supported_fprs(nonmembers: int, fprs: Iterable[float] = (0.1, 0.01, 0.001)) -> list[float]:
    """Return those of `fprs` for which there are at least 1/FPR non-members.

    >>> supported_fprs(500)
    [0.1, 0.01]
    """
    return [fpr for fpr in fprs if refusal(fpr, nonmembers) is None]


def _share_at_least(scores: Floats, thresholds: Floats) -> Floats:
    """Return, for each threshold, the share of `scores` that is not below it."""
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - below) / len(scores)
