"""Scores and truth that do not fit record by record are refused, and the record is named."""

import numpy as np
import pytest

from fedsim.errors import FedsimError
from fedsim.evaluation.scores import Scores, Truth, join

TRUTH = Truth([10, 11, 12, 13], np.array([True, False, True, False]))


def test_the_order_of_rows_does_not_matter():
    joined = join(Scores([13, 10, 12, 11], [[0.3, 0.9, 0.8, 0.1]]), TRUTH, "tested")
    assert joined.records.tolist() == [10, 11, 12, 13]
    assert joined.member.tolist() == [True, False, True, False]
    assert joined.scores.tolist() == [[0.9, 0.1, 0.8, 0.3]]
    members, nonmembers = joined.split()[0]
    assert members.tolist() == [0.9, 0.8]
    assert nonmembers.tolist() == [0.1, 0.3]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([10, 11, 12], "scores lack record 13"),
        ([10, 11, 12, 14], "scores lack record 13"),
        ([10, 11, 12, 13, 14, 15], r"scores hold 2 records \(14, 15\), not among the 4 tested"),
        ([11, 12, 13, 14], "scores lack record 10"),  # slipped by one row
    ],
)
def test_misaligned_records_are_refused(records, sentence):
    with pytest.raises(FedsimError, match=sentence):
        join(Scores(records, np.zeros(len(records))), TRUTH, "tested")


def test_long_lists_are_cut():
    with pytest.raises(FedsimError, match=r"100 records \(0, 1, 2, 3, 4, \.\.\.\)"):
        join(Scores([200], [0.0]), Truth(np.arange(100), np.arange(100) > 5), "tested")


@pytest.mark.parametrize(
    ("records", "scores", "sentence"),
    [
        ([1, 2, 2], [0.0, 0.0, 0.0], "scores hold record 2 more than once"),
        ([1, 2], [0.0, np.nan], "scores of record 2 are not finite"),
        ([1, 2], [[0.0, 1.0], [np.inf, 1.0]], "scores of record 1 are not finite"),
        ([1.0, 2.0], [0.0, 1.0], "record ids of the scores are float64"),
        ([[1, 2]], [0.0, 1.0], r"int64 of shape \(1, 2\)"),
        ([1, 2, 3], [0.0, 1.0], r"shape \(1, 2\), which does not fit 3 record ids"),
        ([1, 2], np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([1, 2], np.zeros((0, 2)), r"shape \(0, 2\)"),
    ],
)
def test_scores_that_cannot_be_judged(records, scores, sentence):
    with pytest.raises(FedsimError, match=sentence):
        Scores(records, scores)


@pytest.mark.parametrize(
    ("records", "member", "sentence"),
    [
        ([1, 1], [True, False], "truth hold record 1 more than once"),
        ([1, 2], [1, 0], "flags of type int64"),
        ([1, 2], [True], "one true or false a record"),
    ],
)
def test_truth_that_cannot_be_joined(records, member, sentence):
    with pytest.raises(FedsimError, match=sentence):
        Truth(records, np.array(member))


def test_one_class_alone_is_refused():
    with pytest.raises(FedsimError, match="2 members and 0 non-members"):
        join(Scores([1, 2], [0.0, 1.0]), Truth([1, 2], np.array([True, True])), "tested")
