"""Canary participants: the published reference values, and federations whose epsilon is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

import fedsim
from fedsim.canaries.participants import LENGTH, canary_direction
from fedsim.config.loading import experiment_of_tree
from fedsim.errors import ConfigError, FedsimError
from fedsim.evaluation.one_shot import (
    cosine_estimate,
    cosine_lower_bound,
    fitted_epsilon,
    jeffreys_upper,
    null_tail,
    two_gaussians_epsilon,
)
from fedsim.evaluation.privacy_bounds import gaussian_epsilon
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.participant_epsilon import ALPHA, TITLE
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation.canary_cosines import read_cosines

CANARIES = 24
REFERENCE_SEED = 0xBAD5EED
NULL_2000: dict[str, Any] = {"dimensions": 2000}


def sections(noise: float | None, **more: Any) -> dict[str, Any]:
    clip = {"name": "clipped-updates", "max_norm": 0.5}
    if noise is not None:
        clip = {"name": "fixed-clipping", "clipping_norm": 0.5, "noise_multiplier": noise}
    return toys.tree(
        **{
            "data": {"name": "toys:blobs", "records": 700, "test_records": 60},
            "partition": {"participants": 4 + CANARIES, "records": 20},
            "model": {"name": "fully-connected", "widths": [64]},
            "federation": {"rounds": 3, "local": {"batch_size": 10, "learning_rate": 0.1}},
            "snapshots": {"rounds": [3]},
            "audit": {
                "victims": [0],
                "known_members": 4,
                "known_nonmembers": 4,
                "tested_members": 6,
                "tested_nonmembers": 6,
                "canary_participants": CANARIES,
            },
            "defences": [clip],
            "adversaries": ["curious-server"],
            "attacks": ["loss"],
            **more,
        }
    )


def test_equal_cosines_give_no_estimate() -> None:
    """Nothing to fit a deviation to: 0.1 summed and divided is not 0.1, and yet they are equal."""
    for value in (0.0, 0.1, 1.0):
        assert cosine_estimate(np.full(7, value), 2000, 1e-5) is None
    apart = np.array([0.09, 0.1, 0.11])
    expected = fitted_epsilon(float(apart.mean()), float(apart.std()), 2000, 1e-5)
    assert cosine_estimate(apart, 2000, 1e-5) == expected


@pytest.mark.parametrize(("dimensions", "known"), [(2000, 2.317789), (200, 2.375326)])
def test_the_estimate_has_the_published_digits(dimensions: int, known: float) -> None:
    """Of google-research/federated, one_shot_epe: N(0, s^2) against N(s, s^2) at delta 1e-2."""
    deviation = dimensions**-0.5
    assert fitted_epsilon(deviation, deviation, dimensions, 1e-2) == pytest.approx(known, abs=5e-7)


@pytest.mark.parametrize(("dimensions", "known"), [(200, 1.394838), (2000, 1.3880321)])
def test_the_bound_by_the_exact_null_has_the_published_digits(
    dimensions: int, known: float
) -> None:
    deviation = dimensions**-0.5
    seen = np.random.default_rng(REFERENCE_SEED).normal(deviation, deviation, 100)
    found = cosine_lower_bound(seen, 1e-2, 1e-2, dimensions=dimensions)
    assert found == pytest.approx(known, abs=5e-7)


def test_the_bound_by_unseen_canaries_has_the_published_digits() -> None:
    random = np.random.default_rng(REFERENCE_SEED)
    seen, unseen = random.normal(1, 1, 100), random.normal(0, 1, 100)
    found = cosine_lower_bound(seen, 1e-2, 1e-2, unseen=unseen)
    assert found == pytest.approx(0.6839449, abs=5e-8)


@pytest.mark.parametrize("delta", [1e-5, 1e-2])
@pytest.mark.parametrize("mu", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_two_gaussians_of_one_width_are_the_gaussian_mechanism(
    mu: float, delta: float, scale: float
) -> None:
    found = two_gaussians_epsilon(0.0, scale, mu * scale, scale, delta)
    assert found == pytest.approx(gaussian_epsilon(mu, delta), rel=1e-6)


def test_gaussians_of_two_widths_agree_with_the_integral() -> None:
    one, other, delta = (0.0, 1.0), (0.7, 1.4), 1e-3
    epsilon = two_gaussians_epsilon(*one, *other, delta)
    grid = np.linspace(-30, 30, 400_001)

    def density(mean: float, deviation: float) -> Any:
        return np.exp(-(((grid - mean) / deviation) ** 2) / 2) / deviation / (2 * np.pi) ** 0.5

    first, second = density(*one), density(*other)
    excesses = [
        np.trapezoid(np.maximum(a - np.exp(epsilon) * b, 0), grid)
        for a, b in ((first, second), (second, first))
    ]
    assert max(excesses) == pytest.approx(delta, rel=1e-4)


def test_random_directions_have_the_null_that_is_said() -> None:
    there = canary_direction(0, 0, 300)
    cosines = np.array([canary_direction(0, n, 300) @ there for n in range(-400, 0)])
    for level in (0.5, 0.9, 0.99):
        cut = np.quantile(cosines, level)
        assert null_tail(np.array([cut]), 300)[0] == pytest.approx(1 - level, abs=0.06)


def findings(tree: dict[str, Any], folder: Path) -> Any:
    results = fedsim.run(tree, folder).results
    return [one for one in results.findings if one.adversary == TITLE]


def test_what_is_released_without_noise_tells_who_took_part(tmp_path: Path) -> None:
    (finding,) = findings(sections(None), tmp_path / "run")
    assert finding.victim == "honest"
    assert finding.figures["canaries"] == CANARIES
    assert finding.figures["dimensions"] == 12 * 64 + 64 + 64 * 4 + 4
    (last, every) = finding.rows
    assert last[0] == "last iterate (round 3)"
    assert every[0] == "all iterates (largest of 3)"
    for row in (last, every):
        assert row[1] > 5  # deviations of the null
        assert row[2] > 20
    assert last[3] > 10  # by the exact null
    none = jeffreys_upper(np.array([0]), CANARIES, ALPHA / CANARIES)[0]  # of as many counts
    assert every[3] == pytest.approx(np.log((1 - none) / none), abs=1e-3)
    cosines = read_cosines(RunDirectory(tmp_path / "run").canary_cosines("honest"))
    assert cosines is not None
    # All updates have the clipping's length, canaries at right angles, the 4 honest ones alike.
    expected = (CANARIES + 4**2) ** -0.5
    assert np.mean(cosines.rows[0].sent) == pytest.approx(expected, rel=0.1)
    assert abs(np.mean(cosines.rows[0].unsent)) < 3 / (CANARIES * 1092) ** 0.5


def test_noise_hides_them_as_far_as_is_guaranteed(tmp_path: Path) -> None:
    (finding,) = findings(sections(40.0), tmp_path / "run")
    (last, every) = finding.rows
    assert last[3] <= finding.figures["guaranteed epsilon"] < 1
    assert every[3] == last[3] == 0
    assert abs(last[1]) < 4 / CANARIES**0.5


def test_a_stopped_federation_notes_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fedsim.run(sections(2.0), whole)
    with pytest.raises(KeyboardInterrupt):
        fedsim.run(sections(2.0), stopped, watcher=toys.Stopping(2))
    fedsim.run(sections(2.0), stopped)
    name = RunDirectory(whole).canary_cosines("honest").relative_to(whole)
    assert (whole / name).read_bytes() == (stopped / name).read_bytes()


def test_they_send_what_they_should_whatever_they_trained() -> None:
    direction = canary_direction(3, 5, 1000)
    assert LENGTH * np.abs(direction).max() < 2000
    assert (canary_direction(3, 5, 1000) == direction).all()
    assert abs(canary_direction(3, -5, 1000) @ direction) < 0.2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"defences": []}, "without a defence that clips updates"),
        ({"audit": {"canary_participants": 1}}, "valid: 0, or from 2 on and fewer than all"),
        ({"audit": {"canary_participants": 28}}, "valid: 0, or from 2 on and fewer than all"),
        ({"audit": {"victims": [4]}}, "participants from 4 on are canaries"),
        (
            {"adversaries": [{"name": "curious-participant", "participant": 1}]},
            "curious-participant sits in a participant's position",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(changes: dict[str, Any], told: str) -> None:
    tree = sections(None)
    for key, section in changes.items():
        tree[key] = {**tree[key], **section} if isinstance(section, dict) else section
    with pytest.raises((ConfigError, FedsimError), match=told):
        build_setup(experiment_of_tree(tree, "the toy"), None, SILENCE)


@pytest.mark.parametrize("counted", [False, True])
def test_the_bound_of_canaries_without_a_trace_is_above_zero_in_a_twentieth_at_most(
    counted: bool,
) -> None:
    random, found = np.random.default_rng(0), []
    for _ in range(400):
        seen = random.standard_normal(60) / 2000**0.5
        null: dict[str, Any] = {"unseen": random.standard_normal(60) / 2000**0.5}
        row = cosine_lower_bound(seen, ALPHA / 60, 1e-5, **(null if counted else NULL_2000))
        found.append(row > 0)
    assert np.mean(found) <= 0.05
