"""The metrics against figures worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score, roc_curve

from fedsim.errors import FedsimError
from fedsim.evaluation import metrics
from fedsim.evaluation.metric import Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.metrics.tpr import false_positive_budget, refusal
from fedsim.evaluation.thresholds import best_threshold

# Few distinct values, so that ties between and within the classes are the rule.
TIED = arrays(np.float64, st.integers(1, 40), elements=st.integers(-3, 3).map(float))


def together(members, nonmembers):
    truth = np.repeat([1, 0], [len(members), len(nonmembers)])
    return truth, np.concatenate([members, nonmembers])


@given(TIED, TIED)
def test_auc_is_that_of_scikit_learn_ties_included(members, nonmembers):
    assert metrics.auc(members, nonmembers) == pytest.approx(
        roc_auc_score(*together(members, nonmembers)), abs=1e-12
    )


@given(TIED, TIED, st.sampled_from([0.001, 0.01, 0.1, 0.29, 0.5, 0.99]))
def test_tpr_is_the_best_point_of_the_roc_within_the_budget(members, nonmembers, rate):
    fpr, tpr, _ = roc_curve(*together(members, nonmembers), drop_intermediate=False)
    affordable = fpr <= rate + 1e-9
    found, false_positives = metrics.tpr_at_fpr(members, nonmembers, rate)
    assert found == pytest.approx(tpr[affordable].max())
    assert false_positives == round(fpr[affordable].max() * len(nonmembers))


def test_a_tied_block_that_exceeds_the_budget_is_left_out_whole():
    members = np.array([8.0, 7.0, 7.0, 6.0, 1.0])
    nonmembers = np.array([7.0, 7.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0])
    # One false positive allowed, but two non-members tie at 7: only the member at 8 is left.
    assert metrics.tpr_at_fpr(members, nonmembers, 0.1) == (0.2, 0)
    # Two allowed: both go in, and with them every member above 5.
    assert metrics.tpr_at_fpr(members, nonmembers, 0.2) == (0.8, 2)


def test_constant_scores_earn_nothing_at_a_low_rate():
    assert metrics.tpr_at_fpr(np.ones(100), np.ones(100), 0.01) == (0.0, 0)
    assert metrics.auc(np.ones(100), np.ones(100)) == 0.5


@pytest.mark.parametrize(
    ("fpr", "nonmembers", "budget"), [(0.29, 100, 29), (0.07, 100, 7), (0.001, 999, 0)]
)
def test_the_budget_does_not_lose_a_record_to_rounding(fpr, nonmembers, budget):
    assert false_positive_budget(fpr, nonmembers) == budget


@given(TIED, TIED)
def test_no_threshold_beats_the_best_one(members, nonmembers):
    best = metrics.balanced_accuracy(members, nonmembers, best_threshold(members, nonmembers))
    everything = np.arange(-4, 5, 0.5)
    rivals = [metrics.balanced_accuracy(members, nonmembers, cut) for cut in everything]
    assert best >= max(rivals) - 1e-12


def test_the_threshold_between_neighbouring_floats_still_separates_them():
    low = np.array([1.0])
    high = np.nextafter(low, 2.0)
    threshold = best_threshold(high, low)
    assert metrics.balanced_accuracy(high, low, threshold) == 1.0


def test_a_rate_is_refused_below_one_over_it():
    assert [refusal(fpr, 1000) for fpr in (0.1, 0.01, 0.001)] == [None] * 3
    assert refusal(0.001, 999) == "needs >= 1,000 non-members, has 999"


EVERY = [
    metrics.Accuracy(),
    metrics.Auc(),
    metrics.TprAtFpr(0.1),
    metrics.PrecisionAtPrior(0.1),
]


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_measuring_all_resamples_at_once_is_measuring_them_one_by_one(metric):
    rng = np.random.default_rng(5)
    members, nonmembers = (rng.integers(-3, 5, size).astype(float) for size in (30, 40))
    scored = ScoredRecords(members, nonmembers, threshold=1.0)
    counts = [rng.multinomial(size, [1 / size] * size, 60).astype(np.int32) for size in (30, 40)]
    at_once = metric.on_resamples(ResampledRecords(scored, *counts))
    slowly = Metric.on_resamples(metric, ResampledRecords(scored, *counts))
    np.testing.assert_allclose(at_once, slowly, atol=1e-12)


def test_precision_is_bayes_rule():
    members, nonmembers = np.array([1.0] * 80 + [0.0] * 20), np.array([1.0] * 10 + [0.0] * 90)
    scored = ScoredRecords(members, nonmembers, threshold=0.5)
    for prior in (0.01, 0.1, 0.5):
        wanted = prior * 0.8 / (prior * 0.8 + (1 - prior) * 0.1)
        assert metrics.PrecisionAtPrior(prior).point(scored) == pytest.approx(wanted)
    nobody = ScoredRecords(members, nonmembers, threshold=9.0)
    assert metrics.PrecisionAtPrior(0.1).point(nobody) == 0.1


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (metrics.TprAtFpr, 0.0),
        (metrics.TprAtFpr, 1.5),
        (metrics.PrecisionAtPrior, 1.0),
        (metrics.EpsilonLowerBound, -0.1),
    ],
)
def test_a_setting_out_of_range_is_refused(make, value):
    with pytest.raises(FedsimError, match=f"of {value} was given; use 0"):
        make(value)
