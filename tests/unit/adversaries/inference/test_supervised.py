"""The supervised attack finds a planted leak, none where there is none, and repeats itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from adversaries.inference.crossfit import folds, scalar_logistic
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.fold_stack import balanced_batches
from adversaries.inference.inputs import Inputs, stack
from adversaries.inference.last_layer import with_last_layer
from adversaries.inference.network import NetworkSettings
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.supervised import Supervised
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import seeds
from fedsim.errors import ConfigError, DataError, SnapshotError
from fedsim.evaluation.metrics import auc
from fedsim.objectives import Classification

CLASSES, HIDDEN, SNAPSHOTS = 6, 8, 2
QUICK = SupervisedSettings(folds=3, epochs=8, batch_size=64)


def features(member: np.ndarray, leak: float, seed: int) -> list[SnapshotFeatures]:
    """Return features on models that are `leak` logits surer of their members."""
    random = seeds.torch_generator(seed, "features")
    labels = torch.randint(CLASSES, (len(member),), generator=random)
    found = []
    for _ in range(SNAPSHOTS):
        hidden = torch.randn(len(member), HIDDEN, generator=random).abs()
        logits = torch.randn(len(member), CLASSES, generator=random)
        logits[torch.arange(len(member)), labels] += leak * torch.from_numpy(member)
        fit = Classification().record_fit(logits, labels)
        deltas = fit.direction * fit.log_scale.exp()[:, None]
        scalars = with_last_layer(fit, hidden, biased=True)
        norms = scalars[:, 3:4].exp()
        arrays = [v.numpy() for v in (fit.losses, logits, hidden, deltas, scalars, norms)]
        found.append(SnapshotFeatures(np.arange(len(member)), labels.numpy(), *arrays))
    return found


def inputs(member: np.ndarray, leak: float, seed: int) -> Inputs:
    """Return all that an attack may read of `features`."""
    return stack(features(member, leak, seed))


def halves(count: int, seed: int) -> np.ndarray:
    """Return a balanced membership in random order."""
    return seeds.generator(seed, "member").permutation(count) < count // 2


def scored(leak: float, settings: SupervisedSettings = QUICK, count: int = 400, seed: int = 0):
    """Return truths and scores of as many known records and candidates."""
    known, tested = halves(count, 1), halves(count, 2)
    scores = fit_and_score(inputs(known, leak, 3), known, inputs(tested, leak, 4), settings, [seed])
    return (known, scores[0][0]), (tested, scores[1][0])


def chance(count: int) -> float:
    """Return the standard deviation of the AUC of random scores on a balanced set."""
    return ((count + 1) / (12 * (count / 2) ** 2)) ** 0.5


def test_a_planted_leak_is_found_and_members_score_higher() -> None:
    for member, scores in scored(leak=5.0):
        assert auc(scores[member], scores[~member]) > 0.99
        assert np.median(scores[member]) > 0 > np.median(scores[~member])


def test_without_a_leak_there_is_nothing_to_find() -> None:
    for member, scores in scored(leak=0.0, settings=replace(QUICK, repeats=2), count=800):
        assert abs(auc(scores[member], scores[~member]) - 0.5) < 3 * chance(800)


def test_shuffled_truth_teaches_nothing() -> None:
    """Neither held-out nor candidate scores may know the truth through the choice of the epoch."""
    truth, tested = halves(800, 1), halves(800, 2)
    shuffled = seeds.generator(0, "shuffle").permutation(truth)
    (held_out,), (candidates,) = fit_and_score(
        inputs(truth, 3.0, 3), shuffled, inputs(tested, 3.0, 4), QUICK, [0]
    )
    assert abs(auc(held_out[shuffled], held_out[~shuffled]) - 0.5) < 3 * chance(800)
    # The candidates' scores agree among themselves, so by how much they stray is not known; a real
    # leak of this size gives more than 0.9.
    assert abs(auc(candidates[tested], candidates[~tested]) - 0.5) < 0.35


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (scored(1.0, seed=seed) for seed in (5, 5, 6))
    for side in range(2):
        np.testing.assert_array_equal(first[side][1], again[side][1])
        assert not np.array_equal(first[side][1], other[side][1])
    assert torch.equal(state, torch.random.get_rng_state())  # nothing drawn from the global one


@pytest.mark.parametrize(
    "settings",
    [
        replace(QUICK, loss="squared-error"),
        replace(QUICK, network=NetworkSettings(shared=True)),
        replace(QUICK, network=NetworkSettings(50, (32, 8), (8,), (8,), (8,), (32, 8))),
    ],
)
def test_other_settings_find_it_too(settings: SupervisedSettings) -> None:
    _, (member, scores) = scored(5.0, settings)
    assert auc(scores[member], scores[~member]) > 0.99


def test_progress_counts_the_epochs_of_all_networks() -> None:
    """So that the time left is known before the first network, which may take minutes, is."""
    member, done = halves(40, 1), []
    settings = replace(QUICK, folds=2, repeats=2, epochs=3)
    fit_and_score(inputs(member, 1, 3), member, inputs(member, 1, 4), settings, [0], done.append)
    assert done == [*range(1, settings.steps + 1)]
    assert settings.steps == 12


def test_batches_are_balanced_and_reach_every_record() -> None:
    truth = torch.tensor([1.0] * 30 + [0.0] * 7)
    with seeds.global_draws(0, "batches"):
        batches = list(balanced_batches(truth, batch_size=8))
    assert all(truth[batch].mean() == 0.5 for batch in batches)
    given = torch.cat(batches)
    members = given[truth[given] == 1]
    assert sorted(members.tolist()) == list(range(30))
    assert set(given[truth[given] == 0].tolist()) == set(range(30, 37))


def test_folds_hold_out_each_record_once_with_members_spread() -> None:
    member = halves(50, 1)
    parts = folds(member, 5, seed=0)
    assert sorted(np.concatenate([held_out for _, held_out in parts]).tolist()) == list(range(50))
    assert all(member[held_out].sum() == 5 for _, held_out in parts)
    assert all(not set(rest) & set(held_out) for rest, held_out in parts)
    assert not np.array_equal(parts[0][1], folds(member, 5, seed=0, repeat=1)[0][1])


def test_the_logistic_baseline_finds_the_leak_and_repeats_itself() -> None:
    known, tested = halves(400, 1), halves(400, 2)
    rows, others = (inputs(truth, 5.0, n).summary.numpy() for truth, n in ((known, 3), (tested, 4)))
    given = rows, known, others, 5
    held_out, candidates = scalar_logistic(*given, seed=0)
    assert auc(held_out[known], held_out[~known]) > 0.99
    assert auc(candidates[tested], candidates[~tested]) > 0.99
    np.testing.assert_array_equal(candidates, scalar_logistic(*given, seed=0)[1])


def test_features_that_do_not_fit_together_are_refused() -> None:
    member = halves(40, 1)
    good = features(member, 1.0, 3)
    order = np.arange(40)[::-1]
    with pytest.raises(SnapshotError, match="snapshots 0 and 1 hold features of different records"):
        stack([good[0], good[1].take(order)])
    relabelled = replace(good[1], labels=(good[1].labels + 1) % CLASSES)
    with pytest.raises(SnapshotError, match="different labels"):
        stack([good[0], relabelled])
    with pytest.raises(SnapshotError, match="at least one snapshot"):
        stack([])
    with pytest.raises(DataError, match="40 records are known but the truth of 39"):
        fit_and_score(stack(good), member[1:], stack(good), QUICK, [0])
    lopsided = np.arange(40) < 2
    with pytest.raises(DataError, match=r"at least 3 known members .* one side has 2"):
        fit_and_score(stack(good), lopsided, stack(good), QUICK, [0])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"folds": 1}, "folds must be at least 2, not 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SupervisedSettings(**setting)


@pytest.mark.parametrize("network", ["paper", "paper-shared"])
def test_relative_features_are_refused_where_a_network_reads_no_scalars(network: Any) -> None:
    with pytest.raises(ConfigError, match=f"network: {network} reads nothing but vectors"):
        Supervised(network=network, relative=True)


def test_the_last_vectors_are_chosen_also_of_inputs_that_are_summarised() -> None:
    losses = torch.arange(5.0)[:, None, None].expand(5, 2, 1)
    no = torch.zeros(5, 2, 0)
    inputs = Inputs(torch.ones(5, 2, 3), losses, {}, torch.zeros(1, 2, 0), {}, no[:0])
    assert inputs.summarised.latest(2).losses.tolist() == losses[-2:].tolist()
