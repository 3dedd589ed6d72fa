"""How sure a figure is: the stratified bootstrap over records, and the exact binomial interval.

The bootstrap (Efron & Tibshirani 1993, percentile interval) draws records with replacement,
members among members and non-members among non-members, and measures every metric of every attack
on the same draw. A record that several attacks or victims share gets the same weight in all of
them. That one rule makes the mean over victims honest about shared non-members and makes a
comparison of two attacks on the same records a paired one.

Nothing is resorted in a resample: a record drawn twice has weight two in cumulative sums over the
order of the original scores, so that all resamples of a metric are a few array operations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metrics import Floats, false_positive_budget
from fedsim.evaluation.scores import Ids

Counts = NDArray[np.int32]

CONFIDENCE = 0.95
RESAMPLES = 2000
# Weights held at once, resamples x records: 4 million float64 are 32 MB an intermediate array.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval and the way the interval was found: `bootstrap` or `exact`."""

    value: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, eq=False)
class Replicates:
    """Each metric measured on each resample: (resamples,), and one such array for each FPR."""

    accuracy: Floats
    auc: Floats
    tpr: dict[float, Floats]


def bootstrap(
    groups: Sequence[Sequence[EvaluationCase]],
    fprs: Sequence[float],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Replicates]:
    """Resample the records of all cases together and measure the mean of each group.

    Parameters
    ----------
    groups
        Cases whose metrics are averaged (the victims of one attack); record ids are one namespace.
    fprs
        False positive rates at which the TPR is wanted.
    rng
        Source of the draws.
    resamples
        How many times the records are drawn.

    Returns
    -------
    One `Replicates` for each group, row i of all of them from the same draw.
    """
    cases = [case for group in groups for case in group]
    universe, strata = _strata(cases)
    columns = [np.searchsorted(universe, case.joined.records) for case in cases]
    weighers = [_Weigher(case, fprs) for case in cases]
    measured = np.concatenate(
        [
            np.stack([w.measure(counts[:, c]) for w, c in zip(weighers, columns, strict=True)])
            for counts in _draws(len(universe), strata, resamples, rng)
        ],
        axis=2,
    )  # (cases, metrics, resamples)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    means = [part.mean(axis=0) for part in np.split(measured, ends)]
    return [Replicates(m[0], m[1], dict(zip(fprs, m[2:], strict=True))) for m in means]


def percentile_interval(replicates: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the central interval that holds `confidence` of the replicates."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def clopper_pearson(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper & Pearson 1934).

    >>> low, high = clopper_pearson(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    >>> low, high = clopper_pearson(85, 100)
    >>> round(low, 4), round(high, 4)
    (0.7647, 0.9135)
    """
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else betaincinv(successes, trials - successes + 1, tail)
    high = 1.0 if successes == trials else betaincinv(successes + 1, trials - successes, 1 - tail)
    return float(low), float(high)


def estimate(value: float, replicates: Floats, trials: int) -> Estimate:
    """Return `value` with its percentile interval, or the exact one where no resample can vary.

    A perfect figure (0 or 1) is perfect in every resample: the bootstrap would claim certainty.
    `trials` independent records that all agreed say less, and the exact interval says how much.
    """
    if value in (0.0, 1.0):
        return Estimate(value, *clopper_pearson(round(value * trials), trials), "exact")
    return Estimate(value, *percentile_interval(replicates), "bootstrap")


def _strata(cases: Sequence[EvaluationCase]) -> tuple[Ids, list[NDArray[np.intp]]]:
    """Return all record ids, sorted, and the groups of them that play the same part everywhere.

    With one case the strata are its members and its non-members. With several, a record's part is
    what it is in each (member, non-member, absent), so every case keeps its two sizes in every
    resample.
    """
    universe = np.unique(np.concatenate([case.joined.records for case in cases]))
    parts = np.zeros((len(cases), len(universe)), dtype=np.int8)
    for row, case in zip(parts, cases, strict=True):
        row[np.searchsorted(universe, case.joined.records)] = np.where(case.joined.member, 2, 1)
    _, part = np.unique(parts, axis=1, return_inverse=True)
    part = part.reshape(-1)
    return universe, [np.flatnonzero(part == number) for number in range(part.max() + 1)]


def _draws(
    records: int, strata: Sequence[NDArray[np.intp]], resamples: int, rng: np.random.Generator
) -> Iterator[Counts]:
    """Yield how often each record was drawn, int32 (some resamples, records), block by block."""
    block = max(1, _BLOCK // records)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        counts = np.empty((rows, records), dtype=np.int32)
        for stratum in strata:
            size = len(stratum)
            drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            times = np.bincount(drawn.reshape(-1), minlength=rows * size)
            counts[:, stratum] = times.reshape(rows, size)
        yield counts


class _Weigher:
    """Measures one case under many weightings of its records at once.

    Weights are whole numbers whose sum over members, and over non-members, is the case's own.
    """

    def __init__(self, case: EvaluationCase, fprs: Sequence[float]) -> None:
        self._member = case.joined.member
        self._budgets = [false_positive_budget(fpr, case.joined.nonmembers) for fpr in fprs]
        self._seeds = list(zip(case.joined.split(), case.thresholds, strict=True))

    def measure(self, counts: Counts) -> Floats:
        """Return accuracy, AUC and each TPR, float64 (metrics, resamples), mean over seeds."""
        members, nonmembers = counts[:, self._member], counts[:, ~self._member]
        total = np.zeros((2 + len(self._budgets), len(counts)))
        for (member_scores, nonmember_scores), threshold in self._seeds:
            right = members @ (member_scores >= threshold).astype(np.int32)
            rejected = nonmembers @ (nonmember_scores < threshold).astype(np.int32)
            total[0] += (right / members.shape[1] + rejected / nonmembers.shape[1]) / 2
            total[1:] += self._ranked(members, nonmembers, member_scores, nonmember_scores)
        return total / len(self._seeds)

    def _ranked(self, members: Counts, nonmembers: Counts, high: Floats, low: Floats) -> Floats:
        """Return AUC and TPRs for weights over member scores `high`, non-member scores `low`."""
        order = np.argsort(low)
        ordered = low[order]
        below = _cumulative(nonmembers[:, order])  # (resamples, n + 1)
        # Mann-Whitney with weights: non-members below, and those not above, each member's score.
        beaten = below[:, np.searchsorted(ordered, high, side="left")]
        beaten += below[:, np.searchsorted(ordered, high, side="right")]
        n_members, n_nonmembers = len(high), len(low)
        area = np.einsum("ij,ij->i", members, beaten) / (2 * n_members * n_nonmembers)

        member_order = np.argsort(high)
        member_below = _cumulative(members[:, member_order])
        rows = np.arange(len(members))
        rates = [area]
        for budget in self._budgets:
            # The barrier of `metrics.tpr_at_fpr`: the highest score at or above which the weights
            # of non-members exceed the budget.
            barrier = (below[:, 1:] < n_nonmembers - budget).sum(axis=1)
            cut = np.searchsorted(high[member_order], ordered[barrier], side="right")
            rates.append(1 - member_below[rows, cut] / n_members)
        return np.stack(rates)


def _cumulative(weights: Counts) -> Floats:
    """Return cumulative sums along each row with a zero in front, float64 (rows, columns + 1)."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
