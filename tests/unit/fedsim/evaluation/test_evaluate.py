"""Verdicts on scores whose truth is known: null, planted leak, sign, misalignment."""

import numpy as np
import pytest
from scipy.stats import norm

from fedsim.errors import FedsimError
from fedsim.evaluation import Metric, Scores, Truth, evaluate_attack, mean_evaluation_result
from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr

N = 2000
TESTED, KNOWN = np.arange(N) * 3 + 50_000, np.arange(N) * 5 + 100_000
MEMBER = np.arange(N) % 2 == 0


def gaussian(shift, seeds=3, seed=1):
    """Return scores and truth (tested, known) of unit Gaussians, members `shift` higher."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(seeds, N)) + shift * MEMBER for _ in range(2)]
    return (
        Scores(TESTED, scores[0]),
        Scores(KNOWN, scores[1]),
        Truth(TESTED, MEMBER),
        Truth(KNOWN, MEMBER),
    )


def test_null_scores_are_at_chance():
    evaluation_result = evaluate_attack(*gaussian(0.0), seed=1)
    for estimate, chance in [
        (evaluation_result.accuracy, 0.5),
        (evaluation_result.auc, 0.5),
        (evaluation_result.figures["tpr@0.01"], 0.01),
    ]:
        assert estimate.low <= chance <= estimate.high
        assert estimate.high - estimate.low < 0.06


def test_a_planted_shift_is_found_at_its_size():
    shift = 2.0
    evaluation_result = evaluate_attack(*gaussian(shift), seed=1)
    assert evaluation_result.auc.value == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.01)
    assert evaluation_result.accuracy.value == pytest.approx(norm.cdf(shift / 2), abs=0.01)
    assert evaluation_result.figures["tpr@0.01"].value == pytest.approx(
        norm.sf(norm.isf(0.01) - shift), abs=0.06
    )
    assert list(evaluation_result.figures) == ["accuracy", "auc", "tpr@0.01", "tpr@0.001"]
    for name, estimate in evaluation_result.figures.items():
        assert estimate.low <= estimate.least < estimate.value < estimate.most < estimate.high
        # With few false positives the bootstrap covers too seldom.
        assert estimate.method == ("exact" if "tpr" in name else "bootstrap")
    assert evaluation_result.details["tpr@0.01"] == {"false_positives": 10.0}
    assert evaluation_result.details["tpr@0.001"] == {"false_positives": 1.0}
    assert (evaluation_result.members, evaluation_result.nonmembers, evaluation_result.seeds) == (
        1000,
        1000,
        3,
    )


def test_a_flipped_sign_shows_below_chance():
    tested, known, *truth = gaussian(1.5)
    flipped = evaluate_attack(
        Scores(tested.records, -tested.scores),
        Scores(known.records, -known.scores),
        *truth,
        seed=1,
    )
    assert flipped.auc.high < 0.2
    assert flipped.accuracy.value == pytest.approx(0.5, abs=0.01)


def test_the_threshold_comes_from_the_known_records():
    """Tested scores moved up by 10 are all called members: the judge does not peek at them."""
    tested, known, *truth = gaussian(2.0)
    moved = evaluate_attack(Scores(tested.records, tested.scores + 10), known, *truth, seed=1)
    assert moved.accuracy.value == 0.5
    assert moved.auc.value == evaluate_attack(tested, known, *truth, seed=1).auc.value


def test_the_order_of_rows_changes_nothing():
    tested, known, truth_tested, truth_known = gaussian(1.0)
    order = np.random.default_rng(2).permutation(N)
    shuffled = Scores(tested.records[order], tested.scores[:, order])
    first = evaluate_attack(tested, known, truth_tested, truth_known, seed=1)
    second = evaluate_attack(shuffled, known, truth_tested, truth_known, seed=1)
    assert first.figures == second.figures


def test_labels_that_slipped_by_one_row_are_refused():
    tested, known, truth_tested, truth_known = gaussian(1.0)
    slipped = Truth(np.append(truth_tested.records[1:], 7), truth_tested.member)
    with pytest.raises(FedsimError, match="tested scores lack record 7"):
        evaluate_attack(tested, known, slipped, truth_known, seed=1)


def test_known_records_cannot_be_tested():
    tested, _, truth, _ = gaussian(1.0)
    with pytest.raises(FedsimError, match="both known and tested, record 50000 among them"):
        evaluate_attack(tested, tested, truth, truth, seed=1)


def test_seeds_must_match():
    tested, _, *truth = gaussian(1.0)
    _, single, *_ = gaussian(1.0, seeds=1)
    with pytest.raises(FedsimError, match="from 3 seeds of the attack and the known ones from 1"):
        evaluate_attack(tested, single, *truth, seed=1)


def test_too_few_nonmembers_refuse_the_low_rate():
    member = np.arange(600) < 100
    scores = np.random.default_rng(3).normal(size=600)
    one = Scores(np.arange(600), scores), Scores(np.arange(600) + 900, scores)
    truth = Truth(np.arange(600), member), Truth(np.arange(600) + 900, member)
    evaluation_result = evaluate_attack(*one, *truth, seed=1)
    assert list(evaluation_result.figures) == ["accuracy", "auc", "tpr@0.01"]
    assert evaluation_result.refused == {"tpr@0.001": "needs >= 1,000 non-members, has 500"}


def test_one_seed_and_balanced_sets_have_an_exact_interval():
    evaluation_result = evaluate_attack(*gaussian(2.0, seeds=1), seed=1)
    assert evaluation_result.accuracy.method == "exact"
    assert evaluation_result.auc.method == "bootstrap"


def test_the_mean_over_victims_is_the_mean_and_is_surer_than_each():
    evaluation_results = []
    for victim in range(4):
        tested, known, _, _ = gaussian(1.0, seed=victim)
        ids = TESTED + 1_000_000 * victim
        evaluation_results.append(
            evaluate_attack(
                Scores(ids, tested.scores), known, Truth(ids, MEMBER), Truth(KNOWN, MEMBER), seed=1
            )
        )
    mean = mean_evaluation_result(evaluation_results, seed=1)
    assert mean.auc.value == pytest.approx(np.mean([one.auc.value for one in evaluation_results]))
    width = np.mean([one.auc.high - one.auc.low for one in evaluation_results])
    assert mean.auc.high - mean.auc.low == pytest.approx(width / 2, rel=0.1)
    assert (mean.members, mean.nonmembers) == (4000, 4000)
    with pytest.raises(FedsimError, match="no victims"):
        mean_evaluation_result([], seed=1)


class MedianGap(Metric):
    """A metric with nothing but a point: resampled one by one."""

    name = "median-gap"
    heading = "median gap"

    def point(self, scored):
        return float(np.median(scored.members) - np.median(scored.nonmembers))


def test_a_metric_of_ones_own_has_an_interval_and_changes_no_other():
    given = gaussian(1.0, seeds=1)
    default = evaluate_attack(*given, seed=1, resamples=200)
    result = evaluate_attack(
        *given, seed=1, resamples=200, metrics=[TprAtFpr(0.01), MedianGap(), Auc(), Accuracy()]
    )
    gap = result.figures["median-gap"]
    assert gap.low < 1 < gap.high
    assert gap.high - gap.low < 0.5
    for name in ("accuracy", "auc", "tpr@0.01"):
        assert result.figures[name] == default.figures[name]


@pytest.mark.parametrize(
    ("value", "unit", "sentence"),
    [
        (2.0, "percent", "metric 'own' gave a figure outside 0..1, which its unit 'percent'"),
        (float("nan"), "number", "metric 'own' gave a figure that is no finite number"),
        ("x", "number", "metric 'own' failed: "),
    ],
)
def test_what_is_wrong_with_a_metric_is_one_sentence(value, unit, sentence):
    class Own(Metric):
        name = heading = "own"

        def point(self, scored):
            return float(value)

    metric = Own()
    metric.unit = unit
    with pytest.raises(FedsimError, match=sentence):
        evaluate_attack(*gaussian(1.0, seeds=1), seed=1, resamples=3, metrics=[metric])
