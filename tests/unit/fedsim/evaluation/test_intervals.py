"""The bootstrap against the plain metrics on repeated records, and its coverage of known truth."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fedsim.evaluation import estimates, intervals
from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metrics import (
    Accuracy,
    Auc,
    TprAtFpr,
    auc,
    balanced_accuracy,
    tpr_at_fpr,
)
from fedsim.evaluation.scores import Scores, Truth, join


def case(ids, member, scores, threshold=0.0):
    joined = join(Scores(ids, scores), Truth(ids, member), "tested")
    return EvaluationCase(joined, np.full(joined.seeds, threshold))


def test_weights_give_what_repeating_the_records_would():
    rng = np.random.default_rng(1)
    member = np.arange(60) < 25
    one = case(np.arange(60), member, rng.integers(-3, 4, (2, 60)).astype(float))
    metrics = [Accuracy(), Auc(), TprAtFpr(0.1), TprAtFpr(0.5)]
    universe, strata = intervals._strata([one])
    counts = next(intervals._draws(len(universe), strata, 50, rng))
    assert (counts[:, member].sum(axis=1) == 25).all()
    assert (counts[:, ~member].sum(axis=1) == 35).all()
    for row, measured in zip(
        counts, intervals.measure_resamples(one, metrics, counts).T, strict=True
    ):
        pairs = [
            (np.repeat(s[member], row[member]), np.repeat(s[~member], row[~member]))
            for s in one.joined.scores
        ]
        wanted = [
            np.mean([balanced_accuracy(*pair, 0.0) for pair in pairs]),
            np.mean([auc(*pair) for pair in pairs]),
            np.mean([tpr_at_fpr(*pair, 0.1)[0] for pair in pairs]),
            np.mean([tpr_at_fpr(*pair, 0.5)[0] for pair in pairs]),
        ]
        np.testing.assert_allclose(measured, wanted, atol=1e-12)


def test_what_is_drawn_once_is_what_would_be_drawn_again():
    """Counts, and where the generator stands behind them: kept, made anew, and of other strata."""
    strata = [np.arange(25), np.arange(25, 60)]
    others = [np.arange(30), np.arange(30, 60)]

    def drawn(parts, seed):
        rng = np.random.default_rng(seed)
        (counts,) = intervals._draws(60, parts, 50, rng)
        return counts, rng.random()

    for parts, seed in ((strata, 1), (strata, 1), (others, 1), (strata, 2), (strata, 1)):
        kept = drawn(parts, seed)
        intervals._latest.clear()
        again = drawn(parts, seed)
        np.testing.assert_array_equal(kept[0], again[0])
        assert kept[1] == again[1]
        drawn(strata, 1)  # what the next one finds


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch):
    rng = np.random.default_rng(2)
    one = case(np.arange(40), np.arange(40) % 2 == 0, rng.normal(size=40))
    monkeypatch.setattr(intervals, "_BLOCK", 40 * 7)
    metrics = [Accuracy(), Auc(), TprAtFpr(0.1)]
    result = intervals.bootstrap([[one]], metrics, np.random.default_rng(3), resamples=100)[0]
    assert {name: one.shape for name, one in result.items()} == dict.fromkeys(
        ("accuracy", "auc", "tpr@0.1"), (100,)
    )


@pytest.mark.parametrize("shift", [0.0, 1.2])
def test_the_interval_covers_the_known_truth_19_times_in_20(shift):
    """Unit Gaussians: AUC is Phi(shift / sqrt 2), accuracy at shift / 2 is Phi(shift / 2)."""
    rng = np.random.default_rng(4)
    member = np.arange(400) < 200
    truth = {
        "auc": norm.cdf(shift / np.sqrt(2)),
        "accuracy": norm.cdf(shift / 2),
        "tpr@0.1": norm.sf(norm.isf(0.1) - shift),
    }
    covered = dict.fromkeys(truth, 0)
    repeats = 300
    for _ in range(repeats):
        scores = rng.normal(size=400) + shift * member
        drawn = intervals.bootstrap(
            [[case(np.arange(400), member, scores, shift / 2)]],
            [Accuracy(), Auc(), TprAtFpr(0.1)],
            rng,
            resamples=300,
        )[0]
        for name, values in drawn.items():
            low, high = estimates.percentile_interval(values)
            covered[name] += low <= truth[name] <= high
    # 95 % of 300 is 285 with a standard deviation of 3.8; a low-FPR quantile is slightly biased.
    for name, count in covered.items():
        assert 0.91 * repeats <= count <= repeats, (name, count)


def test_shared_records_are_drawn_once_for_all_victims():
    """Two victims with one set of non-members: the mean is less sure than if they had two sets."""
    rng = np.random.default_rng(5)
    shared = rng.normal(size=200)

    def victim(first_member, first_nonmember):
        ids = np.concatenate([first_member + np.arange(2000), first_nonmember + np.arange(200)])
        return case(ids, np.arange(2200) < 2000, np.concatenate([strong, shared]))

    strong = rng.normal(size=2000) + 1
    same = intervals.bootstrap([[victim(0, 9000), victim(3000, 9000)]], [Auc()], rng, 2000)[0]
    other = intervals.bootstrap([[victim(0, 9000), victim(3000, 9500)]], [Auc()], rng, 2000)[0]
    assert same["auc"].std() / other["auc"].std() == pytest.approx(np.sqrt(2), rel=0.15)


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (30, 30), (17, 30), (1, 1000)])
def test_clopper_pearson_is_that_of_scipy(successes, trials):
    exact = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert estimates.clopper_pearson(successes, trials) == pytest.approx((exact.low, exact.high))


def test_a_perfect_figure_is_not_certain():
    perfect = estimates.estimate(1.0, np.ones(2000), trials=100)
    assert (perfect.high, perfect.method) == (1.0, "exact")
    assert perfect.low == pytest.approx(0.025 ** (1 / 100))
