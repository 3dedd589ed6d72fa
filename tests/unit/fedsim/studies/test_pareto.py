"""Dominated points against brute force, and Student's intervals against SciPy's."""

import itertools

import numpy as np
import pytest
from scipy import stats

from fedsim.studies.pareto import MeanEstimate, mean_estimate, undominated


def brute_force(gains: list[float], losses: list[float]) -> list[bool]:
    """Ask of each point about all others, by the definition."""

    def dominates(one: int, other: int) -> bool:
        as_good = gains[one] >= gains[other] and losses[one] <= losses[other]
        return as_good and (gains[one] > gains[other] or losses[one] < losses[other])

    every = range(len(gains))
    return [not any(dominates(one, other) for one in every) for other in every]


@pytest.mark.parametrize("seed", range(200))
def test_undominated_points_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    # Few values, so that many points are equal in one or in both.
    gains, losses = rng.integers(0, 4, (2, count)) / 4
    assert undominated([*gains], [*losses]) == brute_force([*gains], [*losses])


def test_every_order_of_the_points_gives_the_same() -> None:
    points = [(0.6, 0.9), (0.6, 0.8), (0.5, 0.7), (0.4, 0.8)]
    for order in itertools.permutations(range(4)):
        found = undominated([points[i][0] for i in order], [points[i][1] for i in order])
        assert {i for i, kept in zip(order, found, strict=True) if kept} == {1, 2}


def test_intervals_are_students() -> None:
    values = [0.61, 0.58, 0.66]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    found = mean_estimate(values)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))


def test_an_interval_of_fractions_is_of_fractions() -> None:
    assert mean_estimate([0.99, 1.0, 0.9], fractions=True).high == 1.0
    assert mean_estimate([0.0, 0.2], fractions=True).low == 0.0


def test_one_federation_has_no_interval() -> None:
    assert mean_estimate([0.7]) == MeanEstimate(0.7, None, None)
