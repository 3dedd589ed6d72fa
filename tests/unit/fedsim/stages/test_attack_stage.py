"""The second stage: scored side by side, all files are those of one process."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import toys
from safetensors.torch import load_file

from fedsim.errors import SnapshotError
from fedsim.files.digests import digest
from fedsim.progress import SILENCE, Advance, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.attack import attack
from fedsim.stages.preparation.setup_building import build_setup

NETWORK = {"folds": 2, "repeats": 1, "epochs": 2}
ATTACKS = [
    "random",
    "loss",
    "gradient-norm",
    "scalar-logistic",
    {"name": "supervised", "training": NETWORK},
]


def attacked(toy_run: Path, path: Path, workers: int, watcher: Watcher = SILENCE) -> RunDirectory:
    """Attack a copy of the toy run on so many processes."""
    shutil.copytree(toy_run, path, dirs_exist_ok=True)
    sections: dict[str, Any] = {"attacks": ATTACKS, "engine": {"workers": workers}}
    setup = build_setup(toys.experiment(**sections), None, SILENCE)
    run = RunDirectory(path)
    with run.locked():  # which sweeps what a killed process was writing
        attack(setup, run, watcher, fresh=False)
    return run


def made(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file; of a file of features, whose header varies, of its tensors."""
    files = toys.content_of(run)
    for name in files:
        if name.startswith("features/"):
            files[name] = digest(load_file(run.path / name))
    return files


class Counting:
    """A watcher that counts the steps of each kind of task."""

    def __init__(self) -> None:
        self.steps: dict[str, list[str]] = {}

    def say(self, text: str) -> None:
        raise AssertionError(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        yield self.steps.setdefault(f"{what} {total}", []).append


def test_the_files_do_not_depend_on_the_number_of_processes(toy_run: Path, tmp_path: Path) -> None:
    watchers = Counting(), Counting()
    one = attacked(toy_run, tmp_path / "one", 1, watchers[0])
    two = attacked(toy_run, tmp_path / "two", 2, watchers[1])
    assert made(two) == made(one)
    assert len([name for name in made(two) if name.startswith("scores/")]) == 2 * len(ATTACKS)
    in_one, in_two = (
        {what: sorted(steps) for what, steps in watcher.steps.items()} for watcher in watchers
    )
    assert in_two == in_one  # so nothing was extracted or fitted twice
    assert in_two["attacks 10"][0] == "curious-participant, all-but-2: gradient-norm"
    assert len(in_two["attacks 10"]) == 10
    assert any(what.startswith("features of participant-0") for what in in_two)


def test_a_damaged_snapshot_is_the_same_sentence(toy_run: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(toy_run, tmp_path / "damaged")
    [snapshot, *_] = sorted((damaged / "snapshots" / "curious-server").iterdir())
    content = bytearray(snapshot.read_bytes())
    content[-1] ^= 1
    snapshot.write_bytes(content)
    sentences = []
    for workers in (1, 2):
        path = tmp_path / str(workers)
        with pytest.raises(SnapshotError) as error:
            attacked(damaged, path, workers)
        sentences.append(str(error.value).replace(str(path), ""))
    assert sentences[0] == sentences[1]
    assert "is damaged" in sentences[0]


def test_a_stopped_stage_goes_on(toy_run: Path, tmp_path: Path) -> None:
    whole = attacked(toy_run, tmp_path / "whole", 2)
    with pytest.raises(KeyboardInterrupt):
        attacked(toy_run, tmp_path / "stopped", 2, toys.Stopping(3))
    assert made(attacked(toy_run, tmp_path / "stopped", 2)) == made(whole)
