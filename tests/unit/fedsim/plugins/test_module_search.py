"""Where a user's own modules are looked for: beside an experiment, never in a run directory."""

import subprocess
import sys
from pathlib import Path

import pytest
from forked import finished

from fedsim.config.loading import read_experiment
from fedsim.errors import FedsimError
from fedsim.plugins import module_search

EXPERIMENT = """
data: {name: "%s:load", records: 400, test_records: 100}
partition: {participants: 2, records: 100}
model: fully-connected
federation: {rounds: 1, local: {epochs: 1, batch_size: 50}}
audit: {known_members: 10, known_nonmembers: 10, tested_members: 20, tested_nonmembers: 20}
adversaries: [curious-server]
attacks: [loss]
"""
SOURCE = """
import numpy as np

def load(records: int = 400):
    rng = np.random.default_rng(0)
    return rng.normal(size=(records, 8)).astype(np.float32), rng.integers(3, size=records)
"""


def fedsim(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return finished("fedsim", arguments, folder)


@pytest.mark.slow
def test_a_run_finds_the_module_beside_its_yaml_and_reports_need_none(tmp_path: Path) -> None:
    beside, elsewhere = tmp_path / "beside", tmp_path / "elsewhere"
    beside.mkdir()
    elsewhere.mkdir()
    (beside / "exp.yaml").write_text(EXPERIMENT % "own_source_beside")
    (beside / "own_source_beside.py").write_text(SOURCE)
    out = str(tmp_path / "out")
    done = fedsim("run", str(beside / "exp.yaml"), "--out", out, "--quiet", folder=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    (beside / "own_source_beside.py").unlink()
    for verb in ("report", "compare"):
        done = fedsim(verb, out, folder=elsewhere)
        assert (done.returncode, done.stderr) == (0, "")
    done = fedsim("run", str(beside / "exp.yaml"), "--out", out, folder=elsewhere)
    assert done.returncode == 2
    assert "No module named 'own_source_beside'; it was looked for in" in done.stderr
    assert str(beside) in " ".join(done.stderr.split())


def test_an_experiment_is_read_without_the_plugins_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT % "no_such_module_at_all")
    with pytest.raises(FedsimError, match="it was looked for in the installed packages"):
        read_experiment(path)
    assert read_experiment(path, plugins_needed=False).data.name == "no_such_module_at_all:load"


def test_nothing_is_looked_for_in_a_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(module_search, "_FOLDERS", [])
    run, folder = tmp_path / "run", tmp_path / "folder"
    for one in (run, folder):
        one.mkdir()
    (run / "provenance.json").write_text("{}")
    module_search.look_beside(run / "experiment.yaml")
    module_search.look_beside(folder / "exp.yaml")
    assert module_search.searched() == f"the installed packages and {folder.resolve()}"
    assert str(folder.resolve()) in sys.path
    assert str(run.resolve()) not in sys.path
