"""Lower bounds of epsilon from counts of right and wrong guesses, for the epsilon metrics.

Each function returns the (epsilon, delta) guarantee that the counts of an attack contradict at a
level alpha. The caller corrects for the number of counts that it tries
(`fedsim.evaluation.metrics.epsilon_bound`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, expit, log_ndtr, ndtr, ndtri
from scipy.stats import binom

Floats = NDArray[np.float64]

_DIGITS = 1e-9
_LARGEST = 1e3  # the largest epsilon that is considered


def upper_proportion(successes: NDArray[np.generic], trials: int, alpha: float) -> Floats:
    """Return the exact one-sided upper bound of proportions (Clopper & Pearson 1934).

    >>> upper_proportion(np.array([0, 10]), 10, 0.05).round(4)
    array([0.2589, 1.    ])
    """
    count = np.minimum(successes, trials - 1).astype(np.float64)  # if all succeed, the bound is 1
    bound: Floats = betaincinv(count + 1, trials - count, 1 - alpha)
    return np.where(np.asarray(successes) >= trials, 1.0, bound)


def rates_epsilon(fpr_high: Floats, fnr_high: Floats, delta: float) -> Floats:
    """Return the least epsilon that upper bounds of FPR and FNR allow (Kairouz et al. 2015).

    Under (epsilon, delta)-DP, TPR <= e^epsilon FPR + delta and TNR <= e^epsilon FNR + delta.

    >>> rates_epsilon(np.array([0.1]), np.array([0.5]), 0.0).round(4)
    array([1.6094])
    """
    with np.errstate(divide="ignore"):
        members = np.log(np.maximum(1 - fnr_high - delta, 0) / fpr_high)
        others = np.log(np.maximum(1 - fpr_high - delta, 0) / fnr_high)
    return np.maximum(np.maximum(members, others), 0.0)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon of mu-GDP at a delta (Dong, Roth & Su 2022, corollary 2.13).

    delta(epsilon) = Phi(-epsilon / mu + mu / 2) - e^epsilon Phi(-epsilon / mu - mu / 2) describes
    the tradeoff of N(0, 1) against N(mu, 1), which is that of the Gaussian mechanism with noise
    1 / mu.

    >>> round(gaussian_epsilon(1.0, 1e-2), 6)
    2.317789
    """
    if mu <= 0 or _log_gaussian_delta(0.0, mu) <= np.log(delta):
        return 0.0
    high = 1.0
    while high < _LARGEST and _log_gaussian_delta(high, mu) > np.log(delta):
        high *= 2
    if high >= _LARGEST:
        return _LARGEST
    return float(
        brentq(lambda eps: _log_gaussian_delta(eps, mu) - np.log(delta), 0.0, high, xtol=_DIGITS)
    )


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the mu of the Gaussian mechanism that is exactly (epsilon, delta)-DP.

    >>> round(gaussian_mu(gaussian_epsilon(1.3, 1e-5), 1e-5), 6)
    1.3
    """
    target = np.log(delta)
    low, high = -40.0, 8.0  # of log mu
    return float(
        np.exp(
            brentq(
                lambda log_mu: _log_gaussian_delta(epsilon, np.exp(log_mu)) - target,
                low,
                high,
                xtol=1e-12,
            )
        )
    )


def _log_gaussian_delta(epsilon: float, mu: float) -> float:
    """Return log delta(epsilon) of mu-GDP."""
    first = log_ndtr(-epsilon / mu + mu / 2)
    second = epsilon + log_ndtr(-epsilon / mu - mu / 2)
    gap = second - first
    return float(first + np.log(-np.expm1(gap))) if gap < 0 else -np.inf


def gdp_mu(fpr_high: Floats, fnr_high: Floats) -> Floats:
    """Return the mu that upper bounds of FPR and FNR allow: Phi^-1(1 - FPR) - Phi^-1(FNR).

    Source: Nasr et al. 2023. It holds for mechanisms with a Gaussian tradeoff, which add Gaussian
    noise.
    """
    mu: Floats = -ndtri(fpr_high) - ndtri(fnr_high)
    return np.maximum(mu, 0.0)


def one_run_p_value(records: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return the p-value of the right guesses in one run (Steinke et al. 2023, theorem 5.2).

    Parameters
    ----------
    records
        m, the number of records, each a member with probability 1/2.
    guesses, right
        r, the number of guesses, and v, the number of right ones; the attack abstained on the
        other records.
    epsilon, delta
        Parameters of the guarantee that is tested.

    Returns
    -------
    p = beta + 2 m delta alpha, at most 1, with beta = P[Bin(r, q) >= v], q = 1 / (1 + e^-epsilon),
    and alpha the maximum over i = 1..v of P[v > Bin(r, q) >= v - i] / i.

    >>> round(one_run_p_value(10, 10, 10, 0.0, 0.0), 6) == round(0.5**10, 6)
    True
    """
    q = expit(epsilon)
    beta = float(binom.sf(right - 1, guesses, q))
    if delta == 0 or right == 0:
        return min(beta, 1.0)
    i = np.arange(1, right + 1)
    alpha = float(((binom.sf(right - i - 1, guesses, q) - beta) / i).max(initial=0.0))
    return min(beta + 2 * records * delta * alpha, 1.0)


def one_run_epsilon(
    records: int, guesses: int, right: int, alpha: float, delta: float, least: float = 0.0
) -> float:
    """Return the largest epsilon that one run contradicts at level alpha, at least `least`.

    See `one_run_p_value`.
    """

    def contradicted(epsilon: float) -> float:
        return alpha - one_run_p_value(records, guesses, right, epsilon, delta)

    if one_run_p_value(records, guesses, right, least, 0.0) > alpha:  # a fast sufficient test
        return least
    return _largest(contradicted, least)


def fdp_one_run_epsilon(
    records: int, guesses: int, right: int, alpha: float, delta: float, least: float = 0.0
) -> float:
    """Return the bound of `one_run_epsilon` for a Gaussian tradeoff (Mahloujifar et al. 2024).

    The tradeoff f of the Gaussian mechanism that is exactly (epsilon, delta)-DP is contradicted if
    the recursion over the number of right guesses,

        h <- max(h, f^-1(r)),   r <- r + i / (guesses - i) (h - h_before),   i = right - 1 .. 0,

    from r = alpha right / m and h = alpha (guesses - right) / m, with
    f^-1(x) = Phi(Phi^-1(x) - mu), ends with r + h > guesses / m (their algorithm for f-DP).
    """

    def contradicted(epsilon: float) -> float:
        mu = gaussian_mu(epsilon, delta)
        r, h = alpha * right / records, alpha * (guesses - right) / records
        for i in range(right - 1, -1, -1):
            more = max(h, float(ndtr(ndtri(r) - mu)))
            if more == h:  # neither value can change any more
                break
            r, h = min(r + i / (guesses - i) * (more - h), 1.0), more
        return r + h - guesses / records

    return _largest(contradicted, least)


def _largest(contradicted: Callable[[float], float], least: float) -> float:
    """Return the largest epsilon for which the function is positive; `least` if there is none."""
    if contradicted(least) <= 0:
        return least
    low, high = least, max(1.0, 2 * least)
    while contradicted(high) > 0:
        low, high = high, 2 * high
        if high > _LARGEST:
            return low
    return float(brentq(contradicted, low, high, xtol=1e-7))
