"""The base class of the epsilon metrics: delta, confidence, and the choice of thresholds.

A lower bound of epsilon depends on a threshold; records at or above it are classified as members.
If the threshold were the best one on the evaluation records, without a correction, the bound would
be above 0 even without any leakage. There are two valid choices:

``auxiliary``
    One threshold, the best one on the auxiliary records.
``corrected``
    The corners of the evaluation records' ROC, each at the level divided by their number
    (Bonferroni), as in jax_privacy. Corners are found on the same records, so that the level is not
    exact: without leakage, 4 % of one-run bounds on 1,000 + 1,000 records at 95 % are above 0.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedsim.evaluation.metric import Floats, Metric, ScoredRecords
from fedsim.evaluation.scores import EvaluationError

Thresholds = Literal["auxiliary", "corrected"]
Counts = NDArray[np.int64]


class EpsilonBound(Metric):
    """A lower bound of the epsilon of a record-level guarantee.

    A subclass computes the bound from the counts at some thresholds:

    >>> class AtMostOne(EpsilonBound):
    ...     prefix, kind = "at-most-one", "toy"
    ...
    ...     def bound(self, found, accused, members, nonmembers, alpha):
    ...         return float((found > accused).any())
    >>> AtMostOne().point(ScoredRecords(np.array([2.0, 3.0]), np.array([1.0]), 2.0))
    1.0

    Parameters
    ----------
    delta
        The delta of the guarantee.
    confidence
        Confidence level of the bound.
    thresholds
        ``auxiliary``: one threshold, the best one on the records that the attacker knows.
        ``corrected``: the corners of the ROC, with a correction for their number.

    Raises
    ------
    EvaluationError
        If a setting is out of its range.

    Attributes
    ----------
    prefix, kind
        Prefix of the metric's name, and the kind in its title.
    takes_no_delta
        Whether a delta of 0 is valid.
    """

    guessing = 0.0
    resampled = False
    prefix: ClassVar[str]
    kind: ClassVar[str]
    takes_no_delta: ClassVar[bool] = False

    def __init__(
        self,
        delta: float = 1e-5,
        confidence: float = 0.95,
        thresholds: Thresholds = "auxiliary",
    ) -> None:
        if not 0 <= delta < 1 or (delta == 0 and not self.takes_no_delta):
            least = "0 <=" if self.takes_no_delta else "0 <"
            raise EvaluationError(f"a delta of {delta} was given; use {least} delta < 1")
        if not 0.5 < confidence < 1:
            raise EvaluationError(
                f"a confidence of {confidence} was given; use 0.5 < confidence < 1"
            )
        self.delta, self.alpha, self.thresholds = delta, 1 - confidence, thresholds
        self.name = f"{self.prefix}@{delta:.12g}"
        self.heading = "epsilon >=" if self.kind == "" else f"epsilon >= ({self.kind})"
        self.title = f"lower bound of a record's epsilon at delta {delta:g}" + (
            f" ({self.kind})" if self.kind else ""
        )
        self.explanation = (
            f"{self.heading}: no guarantee of (epsilon, {delta:g})-differential privacy for a "
            f"record with a smaller epsilon can be true, at {100 * confidence:g} % confidence."
        )

    @abstractmethod
    def bound(
        self, found: Counts, accused: Counts, members: int, nonmembers: int, alpha: float
    ) -> float:
        """Return the largest bound over some thresholds.

        Parameters
        ----------
        found, accused
            The numbers of members, and of non-members, at or above each threshold: (K,) each.
        members, nonmembers
            The numbers of all members and of all non-members.
        alpha
            The level for each threshold.
        """

    def point(self, scored: ScoredRecords) -> float:
        """Return the bound."""
        members, nonmembers = len(scored.members), len(scored.nonmembers)
        if self.thresholds == "corrected":
            cuts = roc_corners(scored.members, scored.nonmembers)
            level = self.alpha / len(cuts)
        else:
            cuts, level = np.array([self.threshold(scored)]), self.alpha
        found, accused = _at_least(scored.members, cuts), _at_least(scored.nonmembers, cuts)
        return float(self.bound(found, accused, members, nonmembers, level))

    def threshold(self, scored: ScoredRecords) -> float:
        """Return the threshold with the largest bound on the auxiliary records.

        If all bounds there are 0, or there are no auxiliary records, it is that of the accuracy.
        """
        if scored.auxiliary is None:
            return scored.threshold
        members, nonmembers = scored.auxiliary
        cuts = roc_corners(members, nonmembers)
        found, accused = _at_least(members, cuts), _at_least(nonmembers, cuts)
        sizes = (len(members), len(nonmembers), self.alpha)
        bounds = [
            self.bound(found[k : k + 1], accused[k : k + 1], *sizes) for k in range(len(cuts))
        ]
        best = int(np.argmax(bounds))
        return float(cuts[best]) if bounds[best] > 0 else scored.threshold


def roc_corners(members: Floats, nonmembers: Floats) -> Floats:
    """Return the thresholds at the corners of the ROC's upper convex hull, ascending.

    The last threshold is above all scores.

    >>> roc_corners(np.array([1.0, 3.0]), np.array([0.0, 2.0]))
    array([ 0.,  1.,  3., inf])
    """
    cuts = np.concatenate([np.union1d(members, nonmembers), [np.inf]])
    below = np.stack([np.searchsorted(np.sort(side), cuts) for side in (members, nonmembers)], 1)
    places = np.arange(len(cuts))
    while len(places) > 2:  # each pass drops points below the line between their neighbours
        steps = np.diff(below[places], axis=0)
        turn = steps[:-1, 1] * steps[1:, 0] - steps[1:, 1] * steps[:-1, 0]
        kept = np.concatenate([[True], turn > 0, [True]])
        if kept.all():
            break
        places = places[kept]
    return cuts[places]


def _at_least(scores: Floats, cuts: Floats) -> Counts:
    below = np.searchsorted(np.sort(scores), cuts, side="left")
    return len(scores) - below
