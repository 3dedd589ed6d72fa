"""The total epsilon of several noisy releases, from the accountants of other packages.

``rdp``
    Renyi differential privacy (Mironov, CSF 2017; Mironov, Talwar and Zhang, 2019), by Opacus.
``prv``
    The privacy loss as a random variable (Gopi, Lee and Wutschitz, NeurIPS 2021), by Opacus. It is
    tighter than ``rdp`` and numerical; its errors of .01 in epsilon are on the safe side.
``pld``
    The privacy loss distribution (Koskela et al., AISTATS 2020; Doroshenko et al., PoPETs 2022), by
    Google's ``dp-accounting``. It is as tight as ``prv``, and much slower if epsilon is large.

All three account for adding or removing one unit, with Poisson sampling or without sampling.
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
"""A setting: the standard deviation of the noise, in multiples of a clipping norm."""


@dataclass(frozen=True)
class Release:
    """Released sums with Gaussian noise, all with the same parameters.

    Attributes
    ----------
    noise_multiplier
        Standard deviation of the noise, in multiples of the sensitivity of the sum to one unit.
    sampling_rate
        The probability that a unit is part of a sum; 1 without sampling.
    count
        The number of released sums.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    count: int = 1


@lru_cache(maxsize=65536)
def total_epsilon(
    releases: tuple[Release, ...], delta: float, accountant: Accountant = "rdp"
) -> float:
    """Return the total epsilon of releases at `delta`; 0 if there are none.

    Raises
    ------
    ConfigError
        If the accountant's package is not installed, or the accountant cannot compute with so
        little noise.

    Examples
    --------
    >>> round(total_epsilon((Release(1.0),), 1e-5), 2)
    4.73
    """
    made = tuple(one for one in releases if one.count and one.sampling_rate)
    if not made:
        return 0.0
    if accountant != "rdp" and total_epsilon(made, delta) > MOST_ON_A_GRID:
        raise ConfigError(
            f"accountant {accountant} computes on a grid, which is too large for an epsilon above "
            f"{MOST_ON_A_GRID:,}: {_in_words(made)}, delta {delta:g}; give more noise, or take rdp"
        )
    try:
        with _quiet():
            # Numerical accountants return slightly less than 0 if delta alone suffices.
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
    """Suppress warnings about the orders that an accountant has tried, as it takes the best."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
