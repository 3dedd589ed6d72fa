"""Scalars for TensorBoard: which figures of a run are written, at which step, and without it."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedsim.errors import FedsimError
from fedsim.files import write_json
from fedsim.progress_sinks import open_scalars
from fedsim.report.results import Results
from fedsim.report.results_file import parse_results
from fedsim.rundir import RunDirectory


class FakeWriter:
    """Keeps what TensorBoard's writer would write."""

    made: list["FakeWriter"]

    def __init__(self, folder: str) -> None:
        self.folder, self.closed = folder, False
        self.scalars: list[tuple[str, float, int]] = []
        self.made.append(self)

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars.append((tag, scalar_value, global_step))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[FakeWriter]:
    """Let TensorBoard be installed, and return the writers that are made."""
    made: list[FakeWriter] = []
    module = ModuleType("torch.utils.tensorboard")
    kind = type("SummaryWriter", (FakeWriter,), {"made": made})
    monkeypatch.setattr(module, "SummaryWriter", kind, raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return made


def write_history(run: RunDirectory, federation: str, *accuracies: float | None) -> None:
    rounds = [
        {"round": number, "local_loss": 1 / number, "test_accuracy": accuracy}
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    write_json(run.history(federation), {"schema": 1, "taken_over": 0, "rounds": rounds})


def results() -> Results:
    interval = {"low": 0.7, "high": 1.0, "method": "bootstrap"}
    row = {
        "adversary": "curious-server",
        "attack": "loss",
        "victim": "mean",
        "accuracy": 0.8,
        "auc": 0.9,
        "tpr_at_fpr": {},
        "members": 10,
        "nonmembers": 10,
        "interval": {"accuracy": interval, "auc": interval, "tpr_at_fpr": {}},
    }
    utility = {"train_accuracy": 1.0, "test_accuracy": 0.5}
    content = {"schema": 1, "utility": utility, "results": [row]}
    return parse_results(json.dumps(content).encode(), "x")


def test_each_round_is_written_once(tmp_path: Path, writers: list[FakeWriter]) -> None:
    run = RunDirectory(tmp_path / "run")
    scalars = open_scalars(tmp_path / "board", run)
    (writer,) = writers
    assert writer.folder == str(tmp_path / "board")
    with scalars.task("federation honest", 3) as advance:
        advance("")
        assert writer.scalars == []
        write_history(run, "honest", None, 0.25)
        advance("")
        advance("")
        assert writer.scalars == [
            ("honest/local_loss", 1.0, 1),
            ("honest/local_loss", 0.5, 2),
            ("honest/test_accuracy", 0.25, 2),
        ]
        write_history(run, "honest", None, 0.25, 0.5)
    assert writer.scalars[3:] == [("honest/local_loss", 1 / 3, 3), ("honest/test_accuracy", 0.5, 3)]
    scalars.end(results())
    assert writer.scalars[5:] == [
        ("curious-server/loss/accuracy", 0.8, 3),
        ("curious-server/loss/auc", 0.9, 3),
    ]
    assert writer.closed


def test_without_tensorboard_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(FedsimError, match=r"pip install 'fedsim\[tensorboard\]'"):
        open_scalars(tmp_path, RunDirectory(tmp_path))
