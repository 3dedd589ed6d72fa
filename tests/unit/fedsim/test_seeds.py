"""Draws are named by a path: independent, stable over versions, and apart from global state."""

import random

import numpy as np
import pytest
import torch

from fedsim import seeds


def test_the_seeds_of_two_paths_are_pinned() -> None:
    # Changing them changes every published figure.
    assert seeds.derive(0, "model") == 1689353482259370465
    assert seeds.derive(7, "batches", 12, 3) == 7037583896441770341
    assert seeds.generator(7, "batches", 12, 3).permutation(6).tolist() == [4, 2, 0, 5, 1, 3]


def test_each_part_of_the_path_counts() -> None:
    paths: list[tuple[seeds.PathPart, ...]] = [
        (),
        ("a",),
        ("b",),
        (1,),
        ("1",),
        (1, 2),
        (2, 1),
        (12,),
        ("a", 1),
        ("a1",),
        ("a', 1",),
    ]
    found = {seeds.derive(seed, *path) for seed in (0, 1) for path in paths}
    assert len(found) == 2 * len(paths)
    assert all(0 <= value < 2**63 for value in found)


def test_numpys_integers_name_the_same_draw() -> None:
    assert seeds.derive(np.int64(4), np.int32(2), "x") == seeds.derive(4, 2, "x")


def test_draws_do_not_depend_on_who_drew_before() -> None:
    first = seeds.generator(1, "a").random(4)
    seeds.generator(1, "b").random(100)
    np.random.seed(0)  # noqa: NPY002
    assert seeds.generator(1, "a").random(4).tolist() == first.tolist()


def test_draws_of_different_paths_are_not_correlated() -> None:
    rows = np.stack([seeds.generator(0, "x", number).standard_normal(4000) for number in range(8)])
    correlations = np.corrcoef(rows)[~np.eye(8, dtype=bool)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000)


def test_torch_generators_are_seeded_by_the_path() -> None:
    def draw(*path: seeds.PathPart) -> list[float]:
        return torch.rand(3, generator=seeds.torch_generator(5, *path)).tolist()

    assert draw("a") == draw("a") != draw("b")


def globals_drawn() -> list[float]:
    return [random.random(), float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002


def test_global_draws_depend_on_the_path_only_and_leave_the_state_as_it_was() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    undisturbed = [globals_drawn(), globals_drawn()]
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = globals_drawn()
    with seeds.global_draws(1, "x"):
        inside = globals_drawn()
    with pytest.raises(ZeroDivisionError), seeds.global_draws(1, "x"):
        1 / (globals_drawn() == inside and 0)
    assert [before, globals_drawn()] == undisturbed
    with seeds.global_draws(1, "y"):
        assert globals_drawn() != inside
