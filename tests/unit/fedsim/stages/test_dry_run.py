"""What could only fail after all rounds fails before the first, in one sentence."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import nn

from fedsim import run
from fedsim.attacks import Attack, View
from fedsim.errors import ConfigError, FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.progress import SILENCE
from fedsim.stages.preparation.dry_run import try_attacks
from fedsim.stages.preparation.setup_building import build_setup


class SoftMax(nn.Module):
    """A classifier that ends in probabilities, as no white-box attack can read it."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(toys.FEATURES, 8), nn.Linear(8, toys.CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(self.hidden(inputs).relu()).softmax(1)


def softmaxed() -> nn.Module:
    return SoftMax()


GIVEN: list[Any] = []  # of the module: class attributes are put back after each attack


class Recorder(Attack):
    """Note what it is given, and score nothing."""

    needs = Needs()

    def score(self, view: View, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        GIVEN.append((view, known, candidates))
        random.random()
        np.random.random()  # noqa: NPY002
        torch.rand(1)
        return np.zeros(len(candidates))


class Undefined(Recorder):
    """Give scores that are not finite."""

    def score(self, view: View, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return np.full(len(candidates), np.nan)


class Neighbours(Recorder):
    """Read what the others upload."""

    needs = Needs(others=True)


class SentOnly(Recorder):
    """Read what was sent, and nothing else."""

    needs = Needs(kinds=frozenset({SnapshotKind.SENT}))


def refused(tmp_path: Path, **sections: Any) -> str:
    """Return the sentence that a run ends with before it has written anything."""
    with pytest.raises(FedsimError) as error:
        run(toys.experiment(**sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def states() -> list[Any]:
    """Return where the global generators stand."""
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    return [random.getstate(), numpy_state[1].tolist(), torch.get_rng_state().tolist()]


def tried(**sections: Any) -> None:
    try_attacks(build_setup(toys.experiment(**sections), None, SILENCE), SILENCE)


@pytest.mark.parametrize(
    ("attack", "needed"),
    [
        ({"name": "supervised", "training": {"folds": 20}}, "at least 20 known members"),
        ({"name": "scalar-logistic", "folds": 20}, "at least 20 known members"),
        ({"name": "label", "folds": 20}, "20 folds need as many known members"),
        ({"name": "shadow", "training": {"folds": 20}}, "at least 20 known members"),
        ({"name": "supervised", "learns_from": [50, 10]}, "cannot learn from 50 known members"),
    ],
)
def test_too_few_known_records(tmp_path: Path, attack: dict[str, Any], needed: str) -> None:
    told = refused(tmp_path, attacks=["random", attack])
    assert needed in told
    assert attack["name"] in told


def of_one_class() -> tuple[np.ndarray, np.ndarray]:
    """Return records that are all of one class."""
    features = np.random.default_rng(0).normal(size=(240, toys.FEATURES)).astype(np.float32)
    return features, np.zeros(len(features), dtype=np.int64)


def test_a_single_class(tmp_path: Path) -> None:
    data = {"name": "test_dry_run:of_one_class", "test_records": 60}
    told = refused(tmp_path, data=data, attacks=["random", "loss"])
    assert told == "attack loss: a classifier needs at least 2 outputs, this model has 1"


def test_many_known_records_may_be_asked_for_though_a_handful_is_tried() -> None:
    audit = {"known_members": 30, "known_nonmembers": 30, "tested_members": 5}
    attack = {"name": "supervised", "learns_from": [30, 30], "training": {"folds": 30}}
    tried(audit=audit, attacks=[attack])


def test_a_model_that_ends_in_softmax_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, model="test_dry_run:softmaxed", attacks=["gradient-norm"])
    assert "softmax" in told


def test_scores_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, attacks=["random", "test_dry_run:Undefined"])
    assert told.startswith("attack Undefined")


def test_needs_that_a_position_cannot_meet_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, attacks=["test_dry_run:Neighbours"])
    assert told.startswith("attack Neighbours reads the uploads of other participants, which cur")
    told = refused(tmp_path, attacks=["test_dry_run:SentOnly"])
    assert told.startswith("attack SentOnly reads snapshots of kind SENT, and curious-participant")
    with pytest.raises(ConfigError):
        tried(attacks=["test_dry_run:SentOnly"])
    tried(
        attacks=["test_dry_run:SentOnly", "test_dry_run:Neighbours"], adversaries=["curious-server"]
    )


def test_each_kind_of_view_is_tried_once_with_a_handful_of_records() -> None:
    GIVEN.clear()
    before = states()
    audit = {"known_members": 30, "tested_members": 8, "tested_nonmembers": 30}
    adversaries = ["curious-server", {"name": "isolating-server"}, "released-model"]
    tried(audit=audit, adversaries=adversaries, attacks=["test_dry_run:Recorder"])
    assert states() == before
    server, released = GIVEN
    assert [s.key.name for s in server[0].seen] == ["sent-0", "participant-0"]
    assert [s.key.name for s in released[0].seen] == ["aggregate"]
    view, known, candidates = server
    assert int(known.member.sum()) == 24
    assert len(known.member) == 24 + 10
    assert len(candidates) == 24 + 10 + 4 + 4
    assert view.records.tolist() == candidates.tolist()
    assert not view.features.parent.exists()  # nothing is left behind
