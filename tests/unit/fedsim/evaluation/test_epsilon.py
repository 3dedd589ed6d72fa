"""The epsilon metrics: published reference values, slow truth, and nothing where nothing leaks.

Values named after jax_privacy are those of its own tests at commit 8967688, or what its estimators
gave on the same scores.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from fedsim.errors import FedsimError
from fedsim.evaluation import privacy_bounds
from fedsim.evaluation.evaluate import evaluate_attack
from fedsim.evaluation.metric import Metric, ScoredRecords
from fedsim.evaluation.metrics import (
    EpsilonGdp,
    EpsilonLowerBound,
    EpsilonOneRun,
    EpsilonOneRunFdp,
)
from fedsim.evaluation.metrics.epsilon_bound import EpsilonBound, roc_corners
from fedsim.evaluation.scores import Scores, Truth

EVERY: list[type[EpsilonBound]] = [
    EpsilonLowerBound,
    EpsilonGdp,
    EpsilonOneRun,
    EpsilonOneRunFdp,
]


def scored(members: object, nonmembers: object, threshold: float = 0.5) -> ScoredRecords:
    return ScoredRecords(np.asarray(members, float), np.asarray(nonmembers, float), threshold)


@pytest.mark.parametrize(
    ("make", "shift", "expected"),
    [
        (EpsilonOneRun, 0, 0.0),
        (EpsilonOneRun, 1, 1.13346),
        (EpsilonOneRun, 2, 2.311945),
        (EpsilonOneRun, 4, 4.395568),
        (EpsilonOneRunFdp, 0, 0.0),
        (EpsilonOneRunFdp, 1, 2.164749),
        (EpsilonOneRunFdp, 2, 4.7218075),
        (EpsilonOneRunFdp, 4, 9.133752),
    ],
)
def test_one_run_bounds_are_those_of_jax_privacy(
    make: type[EpsilonBound], shift: float, expected: float
) -> None:
    quantiles = norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    metric = make(delta=1e-6, thresholds="corrected")
    found = metric.point(scored(quantiles + shift, quantiles))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("delta", "expected"), [(1e-2, 2.317789), (1e-5, 4.377178)])
def test_two_gaussians(delta: float, expected: float) -> None:
    """N(0, s^2) against N(s, s^2), as in Andrew et al. 2024."""
    assert privacy_bounds.gaussian_epsilon(1.0, delta) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("mu", [1e-3, 0.3, 1.0, 5.0])
def test_the_gaussian_s_mu_and_epsilon_are_inverse(mu: float) -> None:
    epsilon = privacy_bounds.gaussian_epsilon(mu, 1e-6)
    if epsilon:
        assert privacy_bounds.gaussian_mu(epsilon, 1e-6) == pytest.approx(mu, rel=1e-6)


def test_the_gaussian_s_delta_is_the_gap_of_two_densities() -> None:
    """By integration: delta = the integral of the positive part of q - e^eps p."""
    mu, delta = 1.7, 1e-3
    epsilon = privacy_bounds.gaussian_epsilon(mu, delta)
    at = np.linspace(-12, 14, 2_000_001)
    gap = np.maximum(norm.pdf(at, mu) - np.exp(epsilon) * norm.pdf(at), 0)
    assert np.trapezoid(gap, at) == pytest.approx(delta, rel=1e-5)


def slow_p_value(records: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return Steinke et al.'s p-value by sums over the binomial's probabilities."""
    q = 1 / (1 + np.exp(-epsilon))
    weights = [float(binom.pmf(k, guesses, q)) for k in range(guesses + 1)]
    least = sum(weights[right:])
    alpha = max((sum(weights[right - i : right]) / i for i in range(1, right + 1)), default=0.0)
    return min(1.0, least + 2 * records * delta * alpha)


def test_the_p_value_is_that_of_the_sums() -> None:
    for guesses, wrong, epsilon, delta in itertools.product(
        (1, 7, 40), (0, 1, 7), (0.0, 0.5, 2.0), (0.0, 1e-4, 1e-1)
    ):
        if wrong <= guesses:
            case = (50, guesses, guesses - wrong, epsilon, delta)
            assert privacy_bounds.one_run_p_value(*case) == pytest.approx(slow_p_value(*case))


def test_epsilon_is_that_of_clopper_and_pearson() -> None:
    """1,000 of 1,000 and 0 of 1,000; jax_privacy gives 5.60 at an explicit threshold."""
    perfect = scored(np.ones(1000), np.zeros(1000))
    rate = float(beta.ppf(0.025, 1000, 1))
    found = EpsilonLowerBound(0.0).point(perfect)
    assert found == pytest.approx(np.log(rate / (1 - rate)))
    assert found == pytest.approx(5.60, abs=0.01)


@pytest.mark.parametrize(
    ("make", "perfect", "shifted"),
    [
        (EpsilonLowerBound, 5.339343900, 2.060344798),
        (EpsilonGdp, 34.811889957, 5.544740457),
        (EpsilonOneRun, 5.401565865, 2.176143354),
        (EpsilonOneRunFdp, 9.537147980, 2.945452481),
    ],
)
def test_corrected_bounds_are_those_of_jax_privacy(
    make: type[EpsilonBound], perfect: float, shifted: float
) -> None:
    """Its default, Bonferroni over the corners, two-sided where it has two sides."""
    random = np.random.default_rng(5)
    metric = make(1e-5, thresholds="corrected")
    assert metric.point(scored(np.ones(1000), np.zeros(1000))) == pytest.approx(perfect, rel=1e-6)
    sides = random.normal(1.5, 1, 700), random.normal(0, 1, 700)
    assert metric.point(scored(*sides)) == pytest.approx(shifted, rel=1e-6)


def test_a_fixed_threshold_without_delta_is_opake_s_test() -> None:
    """opake-auditing 0.16.1 asks whether Bin(r, 1 / (1 + e^eps)) has so few wrong guesses."""
    random = np.random.default_rng(7)
    sides = scored(random.normal(1.5, 1, 300), random.normal(0, 1, 300), 1.0)
    right, wrong = int((sides.members >= 1).sum()), int((sides.nonmembers >= 1).sum())
    epsilon = EpsilonOneRun(0.0).point(sides)
    assert epsilon > 0.5
    share = 1 / (1 + np.exp(epsilon))
    assert binom.cdf(wrong, right + wrong, share) == pytest.approx(0.05, rel=1e-4)


def test_corners_are_those_that_no_chord_dominates() -> None:
    random = np.random.default_rng(0)
    members, nonmembers = random.normal(0.7, 1, 40).round(1), random.normal(0, 1, 30).round(1)
    cuts = roc_corners(members, nonmembers)
    every = np.append(np.union1d(members, nonmembers), np.inf)
    points = np.array([((members >= c).mean(), (nonmembers >= c).mean()) for c in every])

    def dominated(k: int) -> bool:
        tpr, fpr = points[k]
        for i, j in itertools.product(range(k), range(k + 1, len(points))):
            (high, right), (low, left) = points[i], points[j]
            if right == left:
                continue
            share = (fpr - left) / (right - left)
            if 0 <= share <= 1 and low + share * (high - low) >= tpr - 1e-12:
                return True
        return False

    slow = [k for k in range(len(points)) if k in (0, len(points) - 1) or not dominated(k)]
    assert set(cuts) <= set(every[slow])
    tprs = {(members >= c).mean() - (nonmembers >= c).mean() for c in cuts}
    assert max(tprs) == pytest.approx((points[:, 0] - points[:, 1]).max())


def test_gdp_is_tight_on_many_gaussian_scores() -> None:
    random = np.random.default_rng(0)
    for mu in (0.5, 1.0, 3.0):
        sides = random.normal(mu, 1, 200_000), random.normal(0, 1, 200_000)
        truth = privacy_bounds.gaussian_epsilon(mu, 0.05)
        found = EpsilonGdp(0.05, thresholds="corrected").point(scored(*sides))
        assert 0.93 * truth < found < truth


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("thresholds", ["auxiliary", "corrected"])
def test_a_bound_holds_where_the_epsilon_is_known(
    make: type[EpsilonBound], thresholds: str
) -> None:
    """Randomised response with epsilon 1: at most 5 of 100 bounds may be above it."""
    random = np.random.default_rng(1)
    metric = make(1e-6, thresholds=thresholds)  # type: ignore[arg-type]
    share = np.e / (1 + np.e)
    draws = 150
    above = 0
    for _ in range(draws):
        sides = [(random.random(400) < p).astype(float) for p in (share, 1 - share)]
        above += metric.point(scored(*sides)) > 1.0
    if not metric.prefix.endswith(("gdp", "fdp")):  # randomised response is no Gaussian mechanism
        assert binom.sf(above - 1, draws, 0.05) > 0.01
        assert metric.point(scored(*sides)) > 0.4


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("thresholds", ["auxiliary", "corrected"])
def test_it_is_rarely_above_0_where_nothing_leaks(
    make: type[EpsilonBound], thresholds: str
) -> None:
    random, draws = np.random.default_rng(6), 200
    metric = make(1e-9, thresholds=thresholds)  # type: ignore[arg-type]
    above = sum(
        metric.point(
            ScoredRecords(
                random.normal(size=500),
                random.normal(size=500),
                0.3,
                (random.normal(size=60), random.normal(size=60)),
            )
        )
        > 0
        for _ in range(draws)
    )
    assert binom.sf(above - 1, draws, 0.05) > 0.01


def test_a_threshold_chosen_on_the_evaluated_records_would_be_above_0() -> None:
    """The same test catches the mistake that the thresholds' rules are there for."""
    random, draws = np.random.default_rng(6), 200
    metric = EpsilonOneRun(1e-9)

    def uncorrected() -> float:
        sides = random.normal(size=500), random.normal(size=500)
        return max(metric.point(scored(*sides, cut)) for cut in roc_corners(*sides))

    above = sum(uncorrected() > 0 for _ in range(draws))
    assert binom.sf(above - 1, draws, 0.05) < 1e-6


def test_the_threshold_comes_from_auxiliary_records_and_not_from_evaluation_records() -> None:
    random = np.random.default_rng(2)
    known = random.normal(3, 1, 500), random.normal(0, 1, 500)
    metric = EpsilonLowerBound()
    one, other = (ScoredRecords(random.normal(2, 1, 500), known[1], 0.1, known) for _ in range(2))
    assert metric.threshold(one) == metric.threshold(other)
    few = ScoredRecords(one.members, one.nonmembers, 0.1, (known[0][:2], known[1][:2]))
    assert metric.threshold(few) == 0.1  # two records say nothing


def test_more_nonmembers_than_members_are_scaled_down() -> None:
    """4,000 against 1,000 at the same rates say in one run what 1,000 against 1,000 say."""
    members = np.repeat([1.0, 0.0], [500, 500])
    even, many = (np.repeat([1.0, 0.0], [20 * k, 980 * k]) for k in (1, 4))
    metric = EpsilonOneRun()
    assert metric.point(scored(members, many)) == metric.point(scored(members, even))


@pytest.mark.parametrize("make", EVERY)
def test_a_bound_is_judged_as_one(make: type[EpsilonBound]) -> None:
    random = np.random.default_rng(3)
    records, member = np.arange(400), np.arange(400) % 2 == 0
    values = random.normal(size=(1, 400)) + 2 * member
    known = np.arange(400) < 100
    result = evaluate_attack(
        Scores(records[~known], values[:, ~known]),
        Scores(records[known], values[:, known]),
        Truth(records[~known], member[~known]),
        Truth(records[known], member[known]),
        seed=0,
        metrics=[make()],
        resamples=20,
    )
    (figure,) = result.figures.values()
    assert figure.method == "bound"
    assert 0 < figure.low == figure.value == figure.high


def test_ordering_the_four() -> None:
    """What assumes a Gaussian mechanism gives more than what does not."""
    random = np.random.default_rng(4)
    sides = scored(random.normal(2, 1, 1000), random.normal(0, 1, 1000), 1.0)
    plain, gdp, run, fdp = (make().point(sides) for make in EVERY)
    assert 0 < run < fdp
    assert 0 < plain < gdp


@pytest.mark.parametrize("make", [EpsilonGdp, EpsilonOneRunFdp])
def test_a_gaussian_mechanism_has_no_delta_of_0(make: type[EpsilonBound]) -> None:
    with pytest.raises(FedsimError, match="use 0 < delta < 1"):
        make(0.0)


def test_a_confidence_out_of_range_is_refused() -> None:
    with pytest.raises(FedsimError, match=r"a confidence of 0\.2 was given; use 0\.5 <"):
        EpsilonLowerBound(confidence=0.2)


def test_every_one_is_a_metric_of_the_registry() -> None:
    from importlib.metadata import entry_points

    found = {point.name: point.load() for point in entry_points(group="fedsim.metrics")}
    assert {"epsilon", "epsilon-gdp", "epsilon-one-run", "epsilon-one-run-fdp"} <= set(found)
    assert all(issubclass(one, Metric) for one in found.values())
