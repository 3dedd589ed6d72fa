"""The true positive rate at a fixed false positive rate (Carlini et al., S&P 2022)."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, binom

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import EvaluationError, require_share

BOOTSTRAP_FROM = 30
"""The least number of false positives at which the percentile bootstrap covers well enough."""


def false_positive_budget(fpr: float, nonmembers: int) -> int:
    """Return how many of `nonmembers` may be classified as members at a rate of at most `fpr`.

    >>> false_positive_budget(0.01, 1000), false_positive_budget(0.001, 1500)
    (10, 1)
    """
    # 0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: round before flooring.
    return int(np.floor(round(fpr * nonmembers, 6)))


def tpr_at_fpr(members: Floats, nonmembers: Floats, fpr: float) -> tuple[float, int]:
    """Return the largest TPR with an FPR of *at most* `fpr`, and its number of false positives.

    The TPR is never interpolated between points, and is conservative on ties: a block of tied
    non-members that exceeds the budget is left out completely, together with the members tied with
    it. If scores tie, there may be fewer false positives than the budget allows.

    >>> members, nonmembers = np.array([9.0, 5.0, 5.0, 1.0]), np.array([5.0, 4.0, 3.0, 2.0])
    >>> tpr_at_fpr(members, nonmembers, 0.25)
    (0.75, 1)
    >>> tpr_at_fpr(members, np.array([5.0, 5.0, 3.0, 2.0]), 0.25)
    (0.25, 0)
    """
    budget = false_positive_budget(fpr, len(nonmembers))
    if budget >= len(nonmembers):
        return 1.0, len(nonmembers)
    # The threshold lies above this score: that of the first non-member beyond the budget.
    barrier = np.partition(nonmembers, len(nonmembers) - budget - 1)[len(nonmembers) - budget - 1]
    return float((members > barrier).mean()), int((nonmembers > barrier).sum())


def rank_interval(
    members: Floats, nonmembers: Floats, fpr: float, confidence: float
) -> tuple[float, float]:
    """Return an interval of the TPR at the threshold whose *true* FPR is `fpr`.

    That threshold is unknown. The number of non-members above it is binomial, which gives a
    distribution of its position among the sorted non-members. At each position the TPR has the
    exact limits of a proportion (Clopper & Pearson 1934). The ends are quantiles of the mixture of
    both: a fiducial interval, in which the errors of the threshold and of the TPR are independent.
    If the threshold is likely to lie above all non-members (fewer than four false positives
    allowed), there is no information from below, and the lower end is 0.

    >>> low, high = rank_interval(np.arange(50.0, 250), np.arange(100.0), 0.05, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.7, 0.83)
    """
    m, n = len(members), len(nonmembers)
    places = np.arange(n + 1)  # numbers of non-members above the threshold
    weights = binom.pmf(places, n, fpr)
    kept = weights > 1e-12
    places, weights = places[kept], weights[kept] / weights[kept].sum()
    falling = np.concatenate([[np.inf], np.sort(nonmembers)[::-1], [-np.inf]])
    rising = np.sort(members)
    # At least the members from the non-member above the threshold on, at most those above the next
    # one. If the two tie, the block is left out completely, as in `tpr_at_fpr`.
    most = m - np.searchsorted(rising, falling[places + 1], side="right")
    fewest = np.minimum(m - np.searchsorted(rising, falling[places], side="left"), most)
    tail = (1 - confidence) / 2

    def below(rate: float) -> float:
        return float(weights @ np.where(fewest > 0, beta.cdf(rate, fewest, m - fewest + 1), 1.0))

    def above(rate: float) -> float:
        return float(weights @ np.where(most < m, beta.sf(rate, most + 1, m - most), 1.0))

    low = 0.0 if below(0.0) >= tail else brentq(lambda rate: below(rate) - tail, 0.0, 1.0)
    high = 1.0 if above(1.0) >= tail else brentq(lambda rate: above(rate) - tail, 0.0, 1.0)
    return low, high


def refusal(fpr: float, nonmembers: int, fewest: int = 1) -> str | None:
    """Return why a TPR at `fpr` may not be reported for so few non-members, or None if it may.

    With fewer than 1/FPR non-members the budget is less than one false positive.

    >>> refusal(0.001, 500)
    'needs >= 1,000 non-members, has 500'
    >>> refusal(0.001, 1000) is None
    True
    >>> refusal(0.001, 1000, fewest=10)
    'needs >= 10,000 non-members, has 1,000'
    """
    needed = int(np.ceil(round(fewest / fpr, 6)))
    return None if nonmembers >= needed else f"needs >= {needed:,} non-members, has {nonmembers:,}"


class TprAtFpr(Metric):
    """The largest share of members found at a limited share of false positives.

    Parameters
    ----------
    fpr
        The largest share of non-members that may be classified as members, in (0, 1).
    fewest_false_positives
        The figure is refused if `fpr` allows fewer false positives. Experiments that name no
        metrics use 10.

    Raises
    ------
    EvaluationError
        If either setting is out of its range.
    """

    unit = "percent"

    def __init__(self, fpr: float, fewest_false_positives: int = 1) -> None:
        require_share(fpr, "an fpr")
        if fewest_false_positives < 1:
            raise EvaluationError(
                f"fewest_false_positives is {fewest_false_positives}; use 1 or more"
            )
        self.fpr = fpr
        self.fewest_false_positives = fewest_false_positives
        self.percent = f"{100 * fpr:g} %"
        self.name = f"tpr@{fpr:.12g}"
        self.heading = f"TPR @ {self.percent}"
        self.title = f"TPR at {self.percent} FPR"
        self.explanation = (
            f"{self.heading}: the share of members found while at most {self.percent} of "
            "non-members are accused."
        )
        self.guessing = fpr

    def point(self, scored: ScoredRecords) -> float:
        """Return the TPR."""
        return tpr_at_fpr(scored.members, scored.nonmembers, self.fpr)[0]

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the TPR of every resample."""
        scored, below = resampled.scored, resampled.nonmembers_below
        n_members, n_nonmembers = len(scored.members), len(scored.nonmembers)
        budget = false_positive_budget(self.fpr, n_nonmembers)
        # As in `tpr_at_fpr`: the highest score at or above which the weights of non-members exceed
        # the budget.
        barrier = (below[:, 1:] < n_nonmembers - budget).sum(axis=1)
        ordered = scored.nonmembers[scored.nonmember_order]
        rising = scored.members[scored.member_order]
        cut = np.searchsorted(rising, ordered[barrier], side="right")
        found: Floats = 1 - resampled.members_below[np.arange(len(cut)), cut] / n_members
        return found

    def refusal(self, members: int, nonmembers: int) -> str | None:
        """Return why there are too few non-members, or None."""
        return refusal(self.fpr, nonmembers, self.fewest_false_positives)

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return the number of members, over which the rate is computed."""
        return members

    def own_interval(self, scored: ScoredRecords, confidence: float) -> tuple[float, float] | None:
        """Return `rank_interval` if the bootstrap's interval covers too little, else None."""
        if false_positive_budget(self.fpr, len(scored.nonmembers)) >= BOOTSTRAP_FROM:
            return None
        return rank_interval(scored.members, scored.nonmembers, self.fpr, confidence)

    def details(self, scored: ScoredRecords) -> Mapping[str, float]:
        """Return the number of false positives at the TPR's threshold."""
        behind = tpr_at_fpr(scored.members, scored.nonmembers, self.fpr)[1]
        return {"false_positives": float(behind)}
