"""Differences: found when planted, absent when not, and surer where records are paired."""

import numpy as np
import pytest

from fedsim.evaluation import Scores, Truth, compare, evaluate_attack
from fedsim.evaluation.metrics import Auc

N = 2000
MEMBER = np.arange(N) % 2 == 0
DIFFICULTY = np.random.default_rng(1).normal(size=N)


def evaluation_result(shift, noise_seed, first_id=0):
    """Judge an attack that sees how hard a record is, the shift of members, and a little noise."""
    rng = np.random.default_rng(noise_seed)
    known = rng.normal(size=N) + shift * MEMBER
    scores = DIFFICULTY + shift * MEMBER + 0.2 * rng.normal(size=N)
    ids = np.arange(N) + first_id
    return evaluate_attack(
        Scores(ids, scores),
        Scores(ids + 10**6, known),
        Truth(ids, MEMBER),
        Truth(ids + 10**6, MEMBER),
        seed=1,
    )


def test_a_planted_difference_is_found_only_with_pairing():
    weak, strong = evaluation_result(1.0, 2), evaluation_result(1.08, 3)
    paired = compare(weak, strong, seed=1)
    unpaired = compare(weak, strong, seed=1, same_records=False)
    assert (paired.pairing, paired.shared) == ("paired", N)
    assert (unpaired.pairing, unpaired.shared) == ("unpaired", 0)
    assert paired.auc.value == unpaired.auc.value == strong.auc.value - weak.auc.value
    assert paired.auc.low > 0
    assert paired.auc.p < 0.01
    assert unpaired.auc.low < 0 < unpaired.auc.high
    assert unpaired.auc.p > 0.05


def test_the_difference_of_an_attack_to_itself_is_nothing():
    one = evaluation_result(1.0, 2)
    same = compare(one, one, seed=1)
    assert (same.auc.value, same.auc.low, same.auc.high, same.auc.p) == (0, 0, 0, 1)
    assert same.figures["accuracy"].p == 1
    assert set(same.figures) == {"accuracy", "auc", "tpr@0.01", "tpr@0.001"}


def test_the_sign_turns_with_the_order():
    one, other = evaluation_result(1.0, 2), evaluation_result(1.5, 3)
    there, back = compare(one, other, seed=1), compare(other, one, seed=1)
    assert there.auc.value == -back.auc.value
    assert there.figures["accuracy"].value > 0 > back.figures["accuracy"].value


def test_how_much_was_paired_is_said():
    partly = compare(evaluation_result(1.0, 2), evaluation_result(1.0, 2, first_id=N // 2), seed=1)
    assert (partly.pairing, partly.shared) == ("partly paired", N // 2)
    apart = compare(evaluation_result(1.0, 2), evaluation_result(1.0, 2, first_id=N), seed=1)
    assert (apart.pairing, apart.shared) == ("unpaired", 0)


def test_p_values_are_uniform_under_the_null():
    """Two attacks of equal strength with noise of their own: p < .1 one time in ten."""
    rng = np.random.default_rng(7)
    ids, member = np.arange(200), np.arange(200) < 100
    truths = Truth(ids, member), Truth(ids + 1000, member)
    low = 0
    for _ in range(200):
        pair = [
            evaluate_attack(
                Scores(ids, rng.normal(size=200) + member),
                Scores(ids + 1000, rng.normal(size=200) + member),
                *truths,
                seed=1,
                metrics=[Auc()],
                resamples=1,
            )
            for _ in range(2)
        ]
        low += compare(*pair, seed=1, resamples=300).auc.p < 0.1
    assert low / 200 == pytest.approx(0.1, abs=0.06)
