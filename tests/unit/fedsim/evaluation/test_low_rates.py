"""TPR at rates with few false positives, thresholds fixed beforehand, the most exposed records."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fedsim.evaluation.evaluate import evaluate_attack
from fedsim.evaluation.metric import Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.metrics import CalibratedFpr, CalibratedTpr, MostExposed, TprAtFpr
from fedsim.evaluation.metrics.calibrated import calibrated_threshold
from fedsim.evaluation.metrics.tpr import rank_interval, tpr_at_fpr
from fedsim.evaluation.scores import EvaluationError, Scores, Truth


def binormal(random: Any, shift: float, records: int = 1000) -> Any:
    return random.normal(shift, size=records), random.normal(size=records)


@pytest.mark.parametrize("fpr", [0.001, 0.003])
def test_the_interval_of_few_false_positives_covers_the_truth(fpr: float) -> None:
    """The percentile bootstrap covers 64 to 72 % here."""
    random, runs, shift = np.random.default_rng(0), 400, 1.0
    truth = norm.sf(norm.isf(fpr) - shift)
    covered = [
        low <= truth <= high
        for low, high in (rank_interval(*binormal(random, shift), fpr, 0.95) for _ in range(runs))
    ]
    assert binomtest(sum(covered), runs, 0.94, alternative="less").pvalue > 0.01
    assert np.mean(covered) > 0.94


def test_its_one_sided_limits_cover_as_often() -> None:
    random, runs, fpr, shift = np.random.default_rng(1), 300, 0.002, 1.5
    truth = norm.sf(norm.isf(fpr) - shift)
    ends = np.array([rank_interval(*binormal(random, shift), fpr, 0.9) for _ in range(runs)])
    assert (ends[:, 0] <= truth).mean() > 0.94
    assert (ends[:, 1] >= truth).mean() > 0.94


def test_a_perfect_attack_and_none_have_honest_ends() -> None:
    clear = rank_interval(np.arange(10.0, 110), np.zeros(100) - np.arange(100), 0.05, 0.95)
    assert clear[1] == 1.0
    assert 0.9 < clear[0] < 1.0
    hopeless = rank_interval(np.zeros(100) - 200.0, np.arange(100.0), 0.01, 0.95)
    assert hopeless[0] == 0.0
    assert 0.0 < hopeless[1] < 1.0  # all that is lowest may lie above the 1 % that was not seen


def test_more_false_positives_are_left_to_the_bootstrap() -> None:
    scored = ScoredRecords(*binormal(np.random.default_rng(2), 1.0), 0.5)
    assert TprAtFpr(0.03).own_interval(scored, 0.95) is None
    assert TprAtFpr(0.029).own_interval(scored, 0.95) is not None


def test_several_seeds_have_the_mean_of_their_limits() -> None:
    random = np.random.default_rng(3)
    member = np.arange(1000) < 500
    scores = random.normal(size=(2, 1000)) + member
    tested, truth = Scores(np.arange(1000), scores), Truth(np.arange(1000), member)
    known = Scores(np.arange(2) + 1000, np.array([[-1.0, 1.0]] * 2))
    known_truth = Truth(known.records, np.array([False, True]))
    rate = [TprAtFpr(0.01)]
    result = evaluate_attack(tested, known, truth, known_truth, seed=0, metrics=rate, resamples=5)
    ends = [rank_interval(row[member], row[~member], 0.01, 0.95) for row in scores]
    found = result.figures["tpr@0.01"]
    assert (found.low, found.high) == pytest.approx(tuple(np.mean(ends, axis=0)))
    assert found.method == "exact"
    assert found.low <= found.least < found.value < found.most < found.high


def test_a_threshold_fixed_on_known_records_never_sees_the_evaluated_ones() -> None:
    random = np.random.default_rng(4)
    members, others = binormal(random, 2.0, 4000)
    known = binormal(random, 2.0, 4000)
    scored = ScoredRecords(members, others, 1.0, known)
    cut = calibrated_threshold(known[1], 0.01)
    assert (known[1] >= cut).sum() == 40
    assert CalibratedTpr(0.01).point(scored) == (members >= cut).mean()
    assert CalibratedFpr(0.01).point(scored) == (others >= cut).mean()
    assert CalibratedFpr(0.01).point(scored) == pytest.approx(0.01, abs=0.006)
    moved = ScoredRecords(members, others + 10, 1.0, known)
    assert CalibratedTpr(0.01).point(moved) == (members >= cut).mean()
    assert CalibratedFpr(0.01).point(moved) == 1.0
    assert CalibratedTpr(0.01).proportion(scored) == (int((members >= cut).sum()), 4000)


def test_the_most_exposed_tenth_is_chosen_without_the_truth() -> None:
    random = np.random.default_rng(5)
    guesses = [
        MostExposed().point(ScoredRecords(*binormal(random, 0.0, 500), 0.0)) for _ in range(200)
    ]
    assert np.mean(guesses) == pytest.approx(0.5, abs=0.015)
    shares = [MostExposed(s).point(ScoredRecords(*binormal(random, 1.0, 20_000), 0.5))
              for s in (0.01, 0.1, 0.5, 0.9)]  # fmt: skip
    assert shares == sorted(shares, reverse=True)
    # Half of the tenth's cut is known: P(member | s >= c) for the c with a tenth above it.
    cut = 1.938
    assert (norm.sf(cut - 1) + norm.sf(cut)) / 2 == pytest.approx(0.1, abs=1e-3)
    expected = norm.sf(cut - 1) / (norm.sf(cut - 1) + norm.sf(cut))
    assert shares[1] == pytest.approx(expected, abs=0.01)


def test_ties_that_do_not_fit_are_left_out_whole() -> None:
    tied = ScoredRecords(np.full(10, 3.0), np.full(10, 3.0), 0.0)
    assert MostExposed(0.5).point(tied) == 0.5
    above = ScoredRecords(np.array([5.0, 3.0, 3.0, 3.0]), np.full(4, 3.0), 0.0)
    assert MostExposed(0.5).point(above) == 1.0


@pytest.mark.parametrize("metric", [MostExposed(0.2), CalibratedTpr(0.1), CalibratedFpr(0.1)])
def test_resamples_are_what_repeating_the_records_gives(metric: Metric) -> None:
    random = np.random.default_rng(6)
    members, others = random.integers(0, 9, 40) / 1.0, random.integers(0, 7, 50) / 1.0
    scored = ScoredRecords(members, others, 4.0, (members + 1, others - 1))
    counts = [random.multinomial(n, np.full(n, 1 / n), 30).astype(np.int32) for n in (40, 50)]
    resampled = ResampledRecords(scored, *counts)
    np.testing.assert_allclose(
        metric.on_resamples(resampled), Metric.on_resamples(metric, resampled), atol=1e-12
    )


@pytest.mark.parametrize("kind", [MostExposed, CalibratedTpr])
def test_shares_out_of_range_are_refused(kind: Any) -> None:
    with pytest.raises(EvaluationError, match="was given"):
        kind(1.0)


def test_an_interval_among_ties_is_in_order_and_holds_the_figure() -> None:
    members, nonmembers = np.repeat([1.0, 0.0], [500, 500]), np.repeat([1.0, 0.0], [200, 800])
    low, high = rank_interval(members, nonmembers, 0.01, 0.95)
    assert low == tpr_at_fpr(members, nonmembers, 0.01)[0] == 0
    assert 0 < high < 0.01
