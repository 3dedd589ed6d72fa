"""The epsilon of a whole participant, estimated from canary participants of one federation.

Andrew, Kairouz, Oh, Oprea, McMahan & Suriyakumar, *One-shot Empirical Privacy Estimation for
Federated Learning*, ICLR 2024. A canary participant sends a random direction, far longer than any
clipping norm. The test statistic for its participation is the cosine of that direction with the
released parameters. For a direction that nobody sent, the cosine has a density proportional to
(1 - t^2)^((d - 3) / 2) on [-1, 1] in d dimensions, close to N(0, 1 / d). For directions that were
sent, N(mu, s^2) is fitted.

The *estimate* is the epsilon of distinguishing these two distributions. It is not a bound, because
it relies on the fit. The *lower bound* relies on counts only, with one-sided Jeffreys limits at
each threshold.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, log_ndtr, ndtr
from scipy.stats import beta, norm

Floats = NDArray[np.float64]

GAUSSIAN_FROM = 1000
"""The number of dimensions from which on the null distribution is approximated by N(0, 1 / d)."""

_LARGEST = 1e3
_DIGITS = 1e-10


def cosine_estimate(cosines: Floats, dimensions: int, delta: float) -> float | None:
    """Return the epsilon at `delta` of distinguishing a sent direction from an unsent one.

    None if all cosines are equal, because no deviation can be fitted. They are equal if the
    released parameters do not change.

    Parameters
    ----------
    cosines
        (n,) cosines of the sent directions with the released parameters; n is at least 2.
    dimensions
        The number of released parameters.
    delta
        In (0, 1).
    """
    if not np.ptp(cosines):
        return None
    return fitted_epsilon(float(cosines.mean()), float(cosines.std()), dimensions, delta)


def fitted_epsilon(mean: float, deviation: float, dimensions: int, delta: float) -> float:
    """Return the estimate of `cosine_estimate` from the cosines' mean and standard deviation.

    >>> round(fitted_epsilon(2000**-0.5, 2000**-0.5, 2000, 1e-2), 6)
    2.317789
    """
    if dimensions >= GAUSSIAN_FROM:
        return two_gaussians_epsilon(0.0, dimensions**-0.5, mean, deviation, delta)
    return _against_the_sphere(mean, deviation, dimensions, delta)


def two_gaussians_epsilon(
    mean_1: float, deviation_1: float, mean_2: float, deviation_2: float, delta: float
) -> float:
    """Return the smallest epsilon at which two Gaussians are (epsilon, delta)-indistinguishable.

    >>> round(two_gaussians_epsilon(0.0, 1.0, 1.0, 1.0, 1e-5), 6)
    4.377178
    """
    one, other = (mean_1, deviation_1), (mean_2, deviation_2)
    return _smallest(
        lambda epsilon: max(
            _gaussian_delta(epsilon, one, other), _gaussian_delta(epsilon, other, one)
        ),
        delta,
    )


def _gaussian_delta(epsilon: float, one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return P_1[loss > epsilon] - e^epsilon P_2[loss > epsilon] for the privacy loss of 1 to 2.

    The loss at y is a y^2 + b y + c, so it exceeds epsilon either between or outside two roots.
    """
    (mean_1, s_1), (mean_2, s_2) = one, other
    a = (s_2**-2 - s_1**-2) / 2
    b = mean_1 / s_1**2 - mean_2 / s_2**2
    c = ((mean_2 / s_2) ** 2 - (mean_1 / s_1) ** 2) / 2 + np.log(s_2 / s_1)
    excess = c - epsilon
    if abs(a) < 1e-12 * s_1**-2:
        if b == 0:
            return 0.0
        root, above = -excess / b, b > 0
        first, second = (_tail((root - m) / s, above) for m, s in (one, other))
    else:
        inside = b * b - 4 * a * excess
        if inside <= 0:  # no two roots: the loss exceeds epsilon everywhere or nowhere
            return max(0.0, 1 - np.exp(epsilon)) if a > 0 else 0.0
        low, high = sorted((-b + sign * inside**0.5) / (2 * a) for sign in (-1, 1))
        between = [ndtr((high - m) / s) - ndtr((low - m) / s) for m, s in (one, other)]
        outside = [ndtr((low - m) / s) + ndtr((m - high) / s) for m, s in (one, other)]
        first, second = outside if a > 0 else between
    return float(first - np.exp(epsilon) * second)


def _tail(z: float, above: bool) -> float:
    return float(ndtr(-z) if above else ndtr(z))


def _against_the_sphere(mean: float, deviation: float, dimensions: int, delta: float) -> float:
    """Return the epsilon of the exact null distribution, in few dimensions, against a Gaussian."""
    null = beta((dimensions - 1) / 2, (dimensions - 1) / 2, loc=-1, scale=2)
    sent = norm(mean, deviation)
    reach = 12 * max(deviation, dimensions**-0.5)
    edges = max(-1.0, min(0.0, mean) - reach), min(1.0, max(0.0, mean) + reach)
    grid = np.linspace(*edges, 200_001)
    densities = null.pdf(grid), sent.pdf(grid)
    beyond = float(sent.cdf(-1) + sent.sf(1))  # mass outside [-1, 1], where the null has none

    def excess(epsilon: float) -> float:
        raised = np.exp(epsilon)
        first, second = densities
        one = np.trapezoid(np.maximum(first - raised * second, 0), grid)
        other = np.trapezoid(np.maximum(second - raised * first, 0), grid) + beyond
        return float(max(one, other))

    return _smallest(excess, delta)


def _smallest(excess: Callable[[float], float], delta: float) -> float:
    """Return the smallest epsilon of at least 0 for which the excess is at most `delta`."""
    if excess(0.0) <= delta:
        return 0.0
    high = 1.0
    while excess(high) > delta:
        high *= 2
        if high > _LARGEST:
            return _LARGEST
    return float(brentq(lambda epsilon: excess(epsilon) - delta, 0.0, high, xtol=_DIGITS))


def cosine_lower_bound(
    seen: Floats,
    alpha: float,
    delta: float,
    *,
    dimensions: int | None = None,
    unseen: Floats | None = None,
) -> float:
    """Return a lower bound of epsilon from the cosines of sent directions.

    The bound is the maximum over thresholds of ln((1 - delta - FNR) / FPR) and
    ln((1 - delta - FPR) / FNR), at least 0, with one-sided upper limits of both rates, each at
    `alpha`.

    Parameters
    ----------
    seen
        (n,) cosines of directions that were sent.
    alpha
        The level of each limit.
    delta
        The delta of the guarantee that is tested.
    dimensions
        The number of dimensions; the null distribution, of a random direction, is then exact.
    unseen
        (m,) cosines of directions that nobody sent, instead of `dimensions`: needed if the
        statistic is the maximum over several rounds.

    Raises
    ------
    ValueError
        If not exactly one of `dimensions` and `unseen` is given.
    """
    if (dimensions is None) == (unseen is None):
        raise ValueError("give dimensions or unseen cosines, and not both")
    thresholds = np.sort(seen)
    missed = np.arange(len(seen))  # number of cosines below each threshold
    fnr = jeffreys_upper(missed, len(seen), alpha)
    if dimensions is not None:
        fpr = null_tail(thresholds, dimensions)
    elif unseen is not None:
        accused = len(unseen) - np.searchsorted(np.sort(unseen), thresholds, side="left")
        fpr = jeffreys_upper(accused, len(unseen), alpha)
    with np.errstate(divide="ignore"):
        bounds = [
            np.log(np.maximum(1 - delta - fnr, 0)) - np.log(fpr),
            np.log(np.maximum(1 - delta - fpr, 0)) - np.log(fnr),
        ]
    return max(0.0, float(np.max(bounds)))


def jeffreys_upper(successes: NDArray[np.generic], trials: int, alpha: float) -> Floats:
    """Return the one-sided Jeffreys upper limit of proportions: of Beta(k + 1/2, n - k + 1/2).

    >>> jeffreys_upper(np.array([0, 10]), 10, 0.05).round(4)
    array([0.1714, 1.    ])
    """
    count = np.asarray(successes, dtype=np.float64)
    limit: Floats = betaincinv(count + 0.5, trials - count + 0.5, 1 - alpha)
    return np.where(count >= trials, 1.0, limit)


def null_tail(cosines: Floats, dimensions: int) -> Floats:
    """Return the probability that a random direction has at least each of these cosines.

    >>> null_tail(np.array([0.0, 1.0]), 3)
    array([0.5, 0. ])
    """
    if dimensions >= GAUSSIAN_FROM:
        tail: Floats = np.exp(log_ndtr(-cosines * dimensions**0.5))
        return tail
    exact: Floats = beta.sf((cosines + 1) / 2, (dimensions - 1) / 2, (dimensions - 1) / 2)
    return exact
