"""Adapters trained while the rest is frozen: only what is trained is sent, kept and attacked."""

from pathlib import Path
from typing import Any

import null_figures
import pytest
import torch
import toys
from adapters import TRAINED, adapted, frozen_of, same

import fedsim
from fedsim.config.loading import experiment_of_tree
from fedsim.federation.checkpoint import Checkpoint
from fedsim.models import exchanged_state, load_exchanged
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory

CLIMBS = {"name": "gradient-ascent-server", "first": 2}
ADAPTED: dict[str, Any] = {"model": "adapters:adapted"}


def tree() -> dict[str, Any]:
    """Return an experiment in which adapters learn 60 records a participant by heart."""
    training = {"batch_size": 20, "epochs": 40, "optimizer": "adam", "learning_rate": 0.02}
    return {
        "seed": 5,
        "data": {"name": "objective_data:classes", "test_records": 120},
        "partition": {"participants": 2, "records": 60},
        "federation": {"rounds": 3, "local": training},
        "snapshots": {"rounds": [2, 3]},
        "audit": {
            "known_members": 20,
            "known_nonmembers": 20,
            "tested_members": 40,
            "tested_nonmembers": 100,
        },
        "adversaries": ["curious-server", CLIMBS],
        "attacks": ["loss", "gradient-norm", "scalar-logistic"],
        "metrics": ["accuracy", "auc", "tpr@0.01"],
        **ADAPTED,
    }


def test_a_leak_of_adapters_is_found(tmp_path: Path) -> None:
    run = fedsim.run(experiment_of_tree(tree(), "the test"), tmp_path / "r")
    found = {(r.adversary, r.attack): r.figures["auc"].value for r in run.results.summary()}
    assert found["curious-server", "loss"] > 0.75
    assert found["curious-server", "gradient-norm"] > 0.75
    assert found["gradient-ascent-server", "loss"] > 0.7
    store = SnapshotStore(RunDirectory(tmp_path / "r").snapshots("curious-server"))
    (*_, last) = store.series(SnapshotKind.UPLOAD.of(0))
    assert list(last.load()) == TRAINED


def test_where_nothing_was_learned_nothing_is_found(tmp_path: Path) -> None:
    quiet = tree()
    quiet["federation"]["local"] |= {"epochs": 1, "learning_rate": 1e-60}
    quiet["adversaries"] = ["curious-server"]
    run = fedsim.run(experiment_of_tree(quiet, "the test"), tmp_path / "r")
    for row in run.results.summary():
        null_figures.require_nothing(row, 40, 100)


@pytest.mark.usefixtures("flower")
def test_messages_hold_the_bytes_of_what_is_trained_and_no_others() -> None:
    federation = toys.Federation(model=lambda: adapted(4, (toys.FEATURES,)), rounds=1)
    federation.run()
    parameters = dict(adapted(4, (toys.FEATURES,)).named_parameters())
    trained = {name: 4 * parameters[name].numel() for name in TRAINED}
    assert sum(trained.values()) < 0.7 * sum(4 * one.numel() for one in parameters.values())
    for sent in (federation.grid.sent, federation.grid.returned):
        arrays = [
            {key.partition("/")[2]: len(content) for key, content in parts.items() if "/" in key}
            for _, kind, parts in sent
            if kind == "train"
        ]
        assert len(arrays) == federation.participants
        for one in arrays:
            assert one.keys() == trained.keys()
            # An array travels as a .npy file: 128 bytes of header, and its content.
            assert {name: size - 128 for name, size in one.items()} == trained


def test_what_is_frozen_stays_and_is_not_sent(tmp_path: Path) -> None:
    run = toys.simulated(tmp_path, **ADAPTED)
    end = Checkpoint.load(run.checkpoint("honest")).progress.arrays
    assert list(end) == TRAINED
    model = adapted(4, (12,))
    before = frozen_of(model)
    load_exchanged(model, end.to_torch_state_dict())
    assert same(frozen_of(model), before)
    assert same(exchanged_state(model), dict(end.to_torch_state_dict()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_stopped_or_on_several_processes_it_is_the_same(tmp_path: Path, optimizer: str) -> None:
    local = {"batch_size": 10, "learning_rate": 0.05, "optimizer": optimizer}
    sections: dict[str, Any] = ADAPTED | {"federation": {"rounds": 4, "local": local}}
    whole = toys.content_of(toys.simulated(tmp_path / "whole", **sections))
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", watcher=toys.Stopping(2), **sections)
    assert toys.content_of(toys.simulated(tmp_path / "cut", **sections)) == whole
    several = toys.simulated(tmp_path / "several", engine={"workers": 2}, **sections)
    name = "federations/honest/checkpoint.safetensors"
    assert toys.content_of(several)[name] == whole[name]


def test_a_state_that_does_not_fit_is_told() -> None:
    model = adapted(4, (12,))
    with pytest.raises(RuntimeError, match="missing"):
        load_exchanged(model, {"0.up.weight": torch.zeros(96, 8)})
    with pytest.raises(RuntimeError, match="not known"):
        load_exchanged(model, {**exchanged_state(model), "head": torch.zeros(1)})
    load_exchanged(model, model.state_dict())
