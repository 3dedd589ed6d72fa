"""Accountants: against each other on a grid, closed forms, and what others have published."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from fedsim.errors import ConfigError
from fedsim.privacy import Accountant, Release, total_epsilon

DELTA = 1e-5


def exact(releases: tuple[Release, ...], delta: float = DELTA) -> float:
    """Return the epsilon of Gaussian noise without sampling (Balle and Wang, ICML 2018)."""
    mu = math.sqrt(sum(one.count / one.noise_multiplier**2 for one in releases))

    def excess(epsilon: float) -> float:
        low = math.exp(epsilon + norm.logcdf(-epsilon / mu - mu / 2))
        return float(norm.cdf(-epsilon / mu + mu / 2) - low - delta)

    return float(brentq(excess, 0, mu * mu / 2 + 10 * mu + 50, xtol=1e-12))


def convolved(rate: float, noise: float, count: int) -> float:
    """Return epsilon from the distribution of the privacy loss, on a grid, both ways round."""
    width, half = 2e-3, 2**14
    grid = np.arange(-half, half) * width

    def delta_of(epsilon: float, masses: NDArray[np.float64]) -> float:
        return float(np.sum(masses[grid > epsilon] * -np.expm1(epsilon - grid[grid > epsilon])))

    x = np.linspace(-12 * noise, 12 * noise + 1, 400_001)
    without = norm.pdf(x, 0, noise) * (x[1] - x[0])
    with_it = (1 - rate) * without + rate * norm.pdf(x, 1, noise) * (x[1] - x[0])
    loss = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * x - 1) / (2 * noise**2))
    epsilons = []
    for masses, losses in ((with_it, loss), (without, -loss)):
        low = np.floor(losses / width)
        one = np.zeros(2 * half)
        share = losses / width - low  # split between two points, so that the mean is kept
        for place, part in ((low, 1 - share), (low + 1, share)):
            np.add.at(one, np.clip(place.astype(int) + half, 0, 2 * half - 1), masses * part)
        spectrum = np.fft.rfft(np.fft.ifftshift(one)) ** count
        several = np.fft.fftshift(np.fft.irfft(spectrum, 2 * half))
        epsilons.append(brentq(lambda e, m=several: delta_of(e, m) - DELTA, 0, 30))
    return max(epsilons)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25])
@pytest.mark.parametrize("noise", [0.8, 1.1, 4.0])
@pytest.mark.parametrize("count", [20, 100])
def test_accountants_agree_on_a_grid(rate: float, noise: float, count: int) -> None:
    releases = (Release(noise, rate, count),)
    loose, tight = total_epsilon(releases, DELTA, "rdp"), total_epsilon(releases, DELTA, "prv")
    truth = convolved(rate, noise, count)
    assert truth - 0.002 <= tight <= 1.002 * truth + 0.03
    # A Renyi bound is never below, and farthest above where epsilon is small.
    assert truth <= loose <= 1.2 * truth + 0.7


@pytest.mark.parametrize(
    "releases",
    [
        (Release(1.0),),
        (Release(5.0, count=20),),
        (Release(0.5, count=10),),
        (Release(2.0, count=3), Release(0.7, count=2)),
    ],
)
def test_without_sampling_epsilon_has_a_closed_form(releases: tuple[Release, ...]) -> None:
    truth = exact(releases)
    assert truth <= total_epsilon(releases, DELTA, "prv") <= truth + 0.02
    assert truth <= total_epsilon(releases, DELTA, "rdp") <= 1.12 * truth


@pytest.mark.parametrize(
    ("accountant", "releases", "delta", "published"),
    [
        # Opacus 1.6 and dp-accounting 0.6 by themselves: 100 steps at a rate of .1.
        ("rdp", (Release(1.0, 0.1, 100),), 1e-5, 7.90),
        ("prv", (Release(1.0, 0.1, 100),), 1e-5, 7.06),
        ("rdp", (Release(1.0, 1.0, 100),), 1e-5, 96.116),
        # Two Gaussians one deviation apart: google-research/federated, one_shot_epe.
        ("prv", (Release(1.0),), 1e-2, 2.317789),
    ],
)
def test_published_values(
    accountant: Accountant, releases: tuple[Release, ...], delta: float, published: float
) -> None:
    assert total_epsilon(releases, delta, accountant) == pytest.approx(published, abs=0.012)


def test_the_moments_accountant_of_abadi_and_others() -> None:
    """Rate .01, noise 4, 10,000 steps: 1.26 by their conversion (CCS 2016, section 3.2)."""
    from opacus.accountants.analysis.rdp import compute_rdp

    orders = list(range(2, 34))
    losses = np.asarray(compute_rdp(q=0.01, noise_multiplier=4.0, steps=10_000, orders=orders))
    theirs = min(losses + math.log(1 / DELTA) / (np.asarray(orders) - 1))
    assert theirs == pytest.approx(1.26, abs=0.01)
    assert total_epsilon((Release(4.0, 0.01, 10_000),), DELTA) < theirs


@pytest.mark.parametrize(("rate", "noise", "count"), [(0.1, 1.0, 100), (0.01, 1.1, 200), (1, 2, 5)])
def test_an_accountant_of_another_house_agrees(rate: float, noise: float, count: int) -> None:
    pytest.importorskip("dp_accounting")
    releases = (Release(noise, rate, count),)
    other, tight = total_epsilon(releases, DELTA, "pld"), total_epsilon(releases, DELTA, "prv")
    assert other <= tight <= other + 0.015


def test_nothing_released_costs_nothing() -> None:
    assert total_epsilon((), DELTA) == 0.0
    assert total_epsilon((Release(1.0, 1.0, 0),), DELTA) == 0.0


@pytest.mark.parametrize("accountant", ["prv", "pld"])
def test_a_grid_is_refused_that_no_memory_holds(accountant: Accountant) -> None:
    with pytest.raises(
        ConfigError, match=rf"{accountant} .* above 1,000: noise_multiplier .* 0.01"
    ):
        total_epsilon((Release(0.01, count=2),), DELTA, accountant)


@pytest.mark.parametrize("noise", [1e308, 1e-200])
def test_noise_that_no_accountant_computes_with_is_named(noise: float) -> None:
    with pytest.raises(ConfigError, match=r"rdp cannot compute epsilon: noise_multiplier"):
        total_epsilon((Release(noise),), DELTA)


def test_no_epsilon_is_below_0() -> None:
    assert total_epsilon((Release(1e6),), 0.9, "rdp") == 0.0
