"""Estimates with intervals: percentiles of resamples, or the exact binomial interval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import beta

from fedsim.evaluation.metric import Floats

CONFIDENCE = 0.95


ONE_SIDED = 2 * CONFIDENCE - 1
"""The confidence of the central interval whose ends are one-sided limits at `CONFIDENCE`."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval and the interval's method: `bootstrap`, `exact`, or `bound`.

    A bound is itself a confidence limit, so its interval is the figure.

    Attributes
    ----------
    value, low, high, method
        The figure and its central interval.
    least, most
        One-sided lower and upper limits at the same confidence, for `fedsim gate`.
    """

    value: float
    low: float
    high: float
    method: str
    least: float
    most: float


def percentile_interval(replicates: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the central percentile interval of replicates, corrected for their finite number.

    The truth is treated as one of n + 1 values together with the n replicates (Davison and Hinkley
    1997, 5.2.1), so the ends are the order statistics of number (n + 1) tail. Plain percentiles of
    the replicates would cover less, by (1 - tail) / n on either side: .5 % with 400 replicates,
    .1 % with 2,000.

    >>> percentile_interval(np.arange(1.0, 20.0), 0.9)
    (1.0, 19.0)
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], method="weibull")
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
    low = 0.0 if successes == 0 else beta.ppf(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else beta.ppf(1 - tail, successes + 1, trials - successes)
    return float(low), float(high)


def estimate(value: float, replicates: Floats, trials: int, *, fraction: bool = True) -> Estimate:
    """Return `value` with its percentile interval, or the exact one if no resample can vary.

    A fraction of exactly 0 or 1 is the same in every resample, so the bootstrap's interval would
    have width 0. The exact binomial interval of `trials` independent records is used instead.
    """
    if fraction and value in (0.0, 1.0):
        return exact_estimate(value, partial(clopper_pearson, round(value * trials), trials))
    low, high = percentile_interval(replicates)
    least, most = percentile_interval(replicates, ONE_SIDED)
    return Estimate(value, low, high, "bootstrap", least, most)


def exact_estimate(value: float, interval: Callable[[float], tuple[float, float]]) -> Estimate:
    """Return `value` with the intervals that a function returns for a confidence."""
    low, high = interval(CONFIDENCE)
    least, most = interval(ONE_SIDED)
    return Estimate(value, low, high, "exact", least, most)


def bound_estimate(value: float) -> Estimate:
    """Return a figure that is itself a bound."""
    return Estimate(value, value, value, "bound", value, value)
