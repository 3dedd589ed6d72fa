"""A run of a version without some engine settings is taken up as that version computed it."""

from pathlib import Path
from typing import Any

import pytest
import toys
import yaml

import fedsim
from fedsim.config.loading import experiment_of_tree
from fedsim.errors import RunDirectoryError
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.rundir.same_experiment import with_engine_of_run
from fedsim.stages.preparation.setup_building import build_setup

LATER = ("small_convolutions", "channels_last", "stacked_shadows")


def earlier_run(folder: Path, tree: dict[str, Any]) -> dict[str, str]:
    """Make a run as of then: without later settings, and without results; return its content."""
    then = {"small_convolutions": [], "channels_last": False}
    fedsim.run(tree | {"engine": then}, folder)
    made = toys.content_of(RunDirectory(folder))
    written = yaml.safe_load((folder / "experiment.yaml").read_text())
    assert all(written["engine"].pop(key) is not None for key in LATER)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(written))
    (folder / "results.json").unlink()
    return made


def test_it_is_resumed_attacked_and_reported_with_the_same_bits(tmp_path: Path) -> None:
    tree = toys.tree() | {"data": {"name": "fuzz.values.toy_data:pictures", "test_records": 60}}
    tree |= {
        "model": {"name": "resnet", "depth": 8, "width": 4},
        "attacks": ["loss"],
        "adversaries": ["curious-server"],
    }
    tree["federation"] |= {"rounds": 2, "local": {"batch_size": 20, "learning_rate": 0.05}}
    tree["snapshots"] = {"rounds": [1, 2]}
    folder = tmp_path / "run"
    made = earlier_run(folder, tree)
    today = build_setup(experiment_of_tree(tree, "x"), None, SILENCE).experiment.engine
    assert today.channels_last is True  # by rule, so the test tells old from new
    scored = {name: made[name] for name in made if name.startswith(("snapshots", "scores"))}
    fedsim.run(tree, folder)  # as it was made: auto is what it was
    fedsim.attack(folder)
    now = toys.content_of(RunDirectory(folder))
    assert {name: now[name] for name in scored} == scored


def test_auto_is_what_a_run_was_made_with(tmp_path: Path) -> None:
    toy, path = toys.experiment(), tmp_path / "experiment.yaml"
    assert with_engine_of_run(toy, path) == toy  # there is none
    for text in ("engine: 3", "[1]", "engine: {", ""):
        path.write_text(text)
        assert with_engine_of_run(toy, path) == toy
    path.write_text("engine: {name: local, stacked: true, small_convolutions: [a.b]}")
    found = with_engine_of_run(toy, path).engine
    assert (found.stacked, found.small_convolutions, found.channels_last) == (True, ("a.b",), False)
    named = toys.experiment(engine={"stacked": False, "channels_last": True})
    found = with_engine_of_run(named, path).engine
    assert (found.stacked, found.channels_last) == (False, True)


def test_a_run_of_another_experiment_is_told_with_what_differs(tmp_path: Path) -> None:
    toy = toys.experiment(attacks=["label"])
    RunDirectory.create(tmp_path / "run", toy.resolved())
    other = toys.experiment(seed=4, partition={"records": 30}, engine={"channels_last": True})
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.create(tmp_path / "run", other.resolved())
    told = str(caught.value)
    assert "seed is 3 there and 4 here" in told
    assert "partition.records is 40 there and 30 here" in told
    assert "engine.channels_last is 'auto' there and True here" in told
    assert "attacks" not in told


def test_a_model_without_the_setting_dropout_is_one_without_dropout(tmp_path: Path) -> None:
    sizes = {"name": "fully-connected", "widths": [4]}
    toy = toys.experiment(model=sizes)
    run = RunDirectory.create(tmp_path / "run", toy.resolved())
    written = yaml.safe_load(run.experiment.read_text())
    assert written["model"].pop("dropout") == 0
    run.experiment.write_text(yaml.safe_dump(written))
    assert RunDirectory.create(run.path, toy.resolved()).path == run.path
    dropping = toys.experiment(model=sizes | {"dropout": 0.5})
    with pytest.raises(RunDirectoryError, match="another experiment"):
        RunDirectory.create(run.path, dropping.resolved())
