"""Undominated points (Pareto), and means over a few federations with intervals.

A point dominates another one if it has at least as much utility and at most as much leakage, and
one of them is better (Pareto).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over federations, with Student's interval if there are several.

    Attributes
    ----------
    value
        The mean.
    low, high
        The ends of the interval, or None.
    """

    value: float
    low: float | None = None
    high: float | None = None


def mean_estimate(values: Sequence[float], *, fractions: bool = False) -> MeanEstimate:
    """Return the mean of some values with Student's 95 % interval.

    Parameters
    ----------
    values
        One value per federation, each with its own seed.
    fractions
        Whether the values lie in 0..1; the interval is clipped to that.

    Examples
    --------
    >>> mean_estimate([1.0, 2.0, 3.0])
    MeanEstimate(value=2.0, low=-0.484..., high=4.484...)
    >>> mean_estimate([0.5])
    MeanEstimate(value=0.5, low=None, high=None)
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return MeanEstimate(mean)
    error = float(np.std(values, ddof=1)) / count**0.5
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    low, high = mean - reach, mean + reach
    return (
        MeanEstimate(mean, max(0.0, low), min(1.0, high))
        if fractions
        else MeanEstimate(mean, low, high)
    )


def undominated(gains: Sequence[float], losses: Sequence[float]) -> list[bool]:
    """Return for each point whether no other point dominates it.

    Parameters
    ----------
    gains
        The values to maximise, one per point.
    losses
        The values to minimise, one per point.

    Examples
    --------
    >>> undominated([0.6, 0.6, 0.5, 0.4], [0.9, 0.8, 0.7, 0.8])
    [False, True, True, False]
    """
    kept = [False] * len(gains)
    least = float("inf")  # of all points with more to gain than those that are looked at
    falling = sorted(range(len(gains)), key=lambda place: -gains[place])
    for _, together in groupby(falling, key=lambda place: gains[place]):
        alike = list(together)
        best = min(losses[place] for place in alike)
        for place in alike:
            kept[place] = losses[place] == best < least
        least = min(least, best)
    return kept
