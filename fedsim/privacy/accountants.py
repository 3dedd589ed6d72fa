"""Epsilon of several noisy releases together, from accountants that others keep.

``rdp``
    Renyi differential privacy (Mironov, CSF 2017; Mironov, Talwar and Zhang, 2019), of Opacus.
``prv``
    The privacy loss as a random variable (Gopi, Lee and Wutschitz, NeurIPS 2021), of Opacus:
    tighter, and numerical; its errors of .01 in epsilon are on the safe side.
``pld``
    The privacy loss distribution (Koskela et al., AISTATS 2020; Doroshenko et al., PoPETs 2022) of
    Google's ``dp-accounting``: as tight as ``prv``, and much slower where epsilon is large.

All three are of adding or removing one unit, sampled by a coin of its own (Poisson sampling) or not
at all.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fedsim.errors import ConfigError

Accountant = Literal["rdp", "prv", "pld"]
MOST_ON_A_GRID = 1_000
"""The largest epsilon for `prv` and `pld`, whose memory grows with it."""
LEAST_NOISE = 1e-6
"""The least noise multiplier but 0: with less, epsilon has no number in double precision."""


def _require_noise(value: float) -> float:
    if 0 < value < LEAST_NOISE:
        raise ValueError(f"Input should be 0, or at least {LEAST_NOISE:g}")
    return value


NoiseMultiplier = Annotated[
    float, Field(ge=0, le=1e6, allow_inf_nan=False), AfterValidator(_require_noise)
]
"""A setting: the standard deviation of noise in multiples of a clipping norm."""


@dataclass(frozen=True)
class Release:
    """Sums with Gaussian noise, all of one kind.

    Attributes
    ----------
    noise_multiplier
        Standard deviation of the noise, in multiples of how far one unit moves the sum.
    sampling_rate
        With what probability a unit is part of the sum; 1 where it always is.
    count
        How many such sums were released.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    count: int = 1


@lru_cache(maxsize=65536)
def epsilon_of(
    releases: tuple[Release, ...], delta: float, accountant: Accountant = "rdp"
) -> float:
    """Return the epsilon at `delta` of releases together; 0 of none.

    Raises
    ------
    ConfigError
        If the package that the accountant is from is not installed, or the accountant cannot
        compute with so little noise.

    Examples
    --------
    >>> round(epsilon_of((Release(1.0),), 1e-5), 2)
    4.73
    """
    made = tuple(one for one in releases if one.count and one.sampling_rate)
    if not made:
        return 0.0
    if accountant != "rdp" and epsilon_of(made, delta) > MOST_ON_A_GRID:
        raise ConfigError(
            f"accountant {accountant} computes on a grid, which is too large for an epsilon above "
            f"{MOST_ON_A_GRID:,}: {_in_words(made)}, delta {delta:g}; give more noise, or take rdp"
        )
    try:
        with _quiet():
            # Numerical accountants come to a little less than 0 where delta alone suffices.
            return max(0.0, float(_ACCOUNTANTS[accountant](made, delta)))
    except (ArithmeticError, ValueError, MemoryError) as error:
        raise ConfigError(
            f"accountant {accountant} cannot compute epsilon: {_in_words(made)}, delta {delta:g}; "
            "valid are values that are closer to 1"
        ) from error


def _in_words(releases: tuple[Release, ...]) -> str:
    least = min(one.noise_multiplier for one in releases)
    times = sum(one.count for one in releases)
    return f"noise_multiplier comes to {least:g} for one sum, over {times:,} sums"


def _opacus(kind: str, releases: tuple[Release, ...], delta: float) -> float:
    try:
        import opacus.accountants
    except ImportError as error:
        raise ConfigError(
            "the accountant of Opacus is not installed; pip install fedsim[dp]"
        ) from error
    keeper: Any = getattr(opacus.accountants, kind)()
    keeper.history = [(one.noise_multiplier, one.sampling_rate, one.count) for one in releases]
    return float(keeper.get_epsilon(delta))


def _rdp(releases: tuple[Release, ...], delta: float) -> float:
    return _opacus("RDPAccountant", releases, delta)


def _prv(releases: tuple[Release, ...], delta: float) -> float:
    return _opacus("PRVAccountant", releases, delta)


def _pld(releases: tuple[Release, ...], delta: float) -> float:
    try:
        import dp_accounting
        from dp_accounting.pld import PLDAccountant
    except ImportError as error:
        raise ConfigError(
            "accountant pld needs dp-accounting, which is not installed; "
            "pip install fedsim[accounting]"
        ) from error
    keeper = PLDAccountant()
    for one in releases:
        event: Any = dp_accounting.GaussianDpEvent(one.noise_multiplier)
        if one.sampling_rate < 1:
            event = dp_accounting.PoissonSampledDpEvent(one.sampling_rate, event)
        keeper.compose(event, one.count)
    return float(keeper.get_epsilon(delta))


_ACCOUNTANTS: Mapping[str, Callable[[tuple[Release, ...], float], float]] = {
    "rdp": _rdp,
    "prv": _prv,
    "pld": _pld,
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself which orders an accountant has tried: it takes the best of them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
