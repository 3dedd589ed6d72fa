"""What is drawn agrees with what is measured."""

import numpy as np
import pytest

from fedsim.errors import FedsimError
from fedsim.evaluation import curves
from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr
from fedsim.evaluation.scores import Scores, Truth, join

MEMBER = np.arange(2000) % 2 == 0


@pytest.fixture
def case():
    scores = np.random.default_rng(1).normal(size=(3, 2000)) + MEMBER
    joined = join(Scores(np.arange(2000), scores), Truth(np.arange(2000), MEMBER), "tested")
    return EvaluationCase(joined, np.full(3, 0.5))


def test_the_roc_passes_through_the_reported_figures(case):
    roc = curves.mean_roc([case])
    assert (roc.fpr[0], roc.fpr[-1], roc.tpr[-1]) == (0, 1, 1)
    assert (np.diff(roc.fpr) > 0).all()
    assert (np.diff(roc.tpr) >= 0).all()
    for fpr in (0.001, 0.01):
        assert roc.tpr[np.isclose(roc.fpr, fpr)] == pytest.approx(case.measure(TprAtFpr(fpr)))
    area = np.sum((roc.tpr[1:] + roc.tpr[:-1]) / 2 * np.diff(roc.fpr))
    assert area == pytest.approx(case.measure(Auc()), abs=0.005)
    assert len(roc.fpr) <= 201


def test_a_histogram_holds_every_score(case):
    histogram = curves.score_histogram(case, bins=20)
    assert histogram.edges.shape == (21,)
    assert histogram.members.sum() == pytest.approx(1)
    assert histogram.nonmembers.sum() == pytest.approx(1)
    centres = (histogram.edges[1:] + histogram.edges[:-1]) / 2
    assert histogram.members @ centres - histogram.nonmembers @ centres == pytest.approx(1, abs=0.1)


def test_a_histogram_of_one_value_has_width():
    joined = join(Scores([1, 2], [5.0, 5.0]), Truth([1, 2], np.array([True, False])), "tested")
    histogram = curves.score_histogram(EvaluationCase(joined, np.zeros(1)))
    assert (histogram.edges[0], histogram.edges[-1]) == (4.5, 5.5)


def test_accuracy_by_class_averages_to_the_accuracy(case):
    labels = np.arange(3000)[::-1] % 7
    rows = curves.accuracy_by_class(case, np.arange(3000), labels)
    assert [row.label for row in rows] == list(range(7))
    assert sum(row.records for row in rows) == 2000
    weighted = sum(row.accuracy * row.records for row in rows) / 2000
    assert weighted == pytest.approx(case.measure(Accuracy()))
    sentence = "1999 evaluated records have no class, record 1 among them"
    with pytest.raises(FedsimError, match=sentence):
        curves.accuracy_by_class(case, np.array([0]), [3])


def test_quartiles():
    np.testing.assert_array_equal(curves.quartiles([[0, 1, 2, 3, 4]]), [[1, 2, 3]])
