"""What the doctor finds, when it is a problem, and that the self-test notices wrong figures."""

import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from fedsim import doctor, plugins
from fedsim.doctor import MachineCheck, MachineStatus, examination, known_audit
from fedsim.errors import PluginError
from fedsim.report.results import Results
from fedsim.report.results_file import parse_results

GB = 1_000_000_000


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let every disk have so many free bytes, whatever this machine's have."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def test_a_data_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    first = next(examination._datasets(tmp_path / "absent"))
    assert first.status is MachineStatus.PROBLEM
    assert first.found == f"{tmp_path / 'absent'}: there is no such folder"
    (tmp_path / "file").touch()
    assert next(examination._datasets(tmp_path / "file")).found.endswith("is not a folder")
    for well in (None, tmp_path):
        assert all(one.name != "data folder" for one in examination._datasets(well))


@pytest.fixture(scope="module")
def self_test() -> MachineCheck:
    return doctor.self_test()


def test_the_self_test_passes_and_says_its_figures(self_test: MachineCheck) -> None:
    assert self_test.status is MachineStatus.GOOD, self_test.found
    said = re.fullmatch(
        r"an audit with AUC \.(\d+) by the loss and \.(\d+) by guessing, in (\d+\.\d) s",
        self_test.found,
    )
    assert said is not None
    assert int(said[1]) > 900
    assert 350 < int(said[2]) < 650


def results(train: float, test: float, loss: float, random: float) -> Results:
    interval = {"low": 0.0, "high": 1.0, "method": "bootstrap"}
    rows = [
        {
            "adversary": "curious-server",
            "attack": attack,
            "victim": "mean",
            "accuracy": 0.5,
            "auc": auc,
            "tpr_at_fpr": {},
            "members": 10,
            "nonmembers": 10,
            "interval": {"accuracy": interval, "auc": interval, "tpr_at_fpr": {}},
        }
        for attack, auc in (("loss", loss), ("random", random))
    ]
    utility = {"train_accuracy": train, "test_accuracy": test}
    content = {"schema": 1, "utility": utility, "results": rows}
    return parse_results(json.dumps(content).encode(), "x")


@pytest.mark.parametrize(
    ("figures", "wrong"),
    [
        ((1.0, 0.25, 0.95, 0.5), []),
        ((0.4, 0.25, 0.95, 0.5), ["the train accuracy is 0.400, which must be 0.95 to 1.0"]),
        ((1.0, 0.99, 0.95, 0.5), ["the test accuracy is 0.990, which must be 0.05 to 0.45"]),
        # Labels of members and non-members exchanged, and an attack that knows too much.
        ((1.0, 0.25, 0.05, 0.5), ["the AUC by the loss is 0.050, which must be 0.85 to 1.0"]),
        ((1.0, 0.25, 0.95, 1.0), ["the AUC by guessing is 1.000, which must be 0.25 to 0.75"]),
    ],
)
def test_wrong_figures_are_named(figures: tuple[float, ...], wrong: list[str]) -> None:
    assert known_audit.not_as_known(results(*figures)) == wrong


def test_a_self_test_that_cannot_run_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise PluginError("there is no 'loss' among the attacks")

    monkeypatch.setattr(known_audit, "run", fail)
    found = doctor.self_test()
    assert found == MachineCheck(
        "self-test", MachineStatus.PROBLEM, "there is no 'loss' among the attacks"
    )


@pytest.fixture
def findings(
    self_test: MachineCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[MachineCheck]:
    """Return what is found where one data set is decoded, and another has its files."""
    with_free(monkeypatch, 20 * GB)
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(examination, "self_test", lambda: self_test)
    (tmp_path / "cache" / "cifar100-0123").mkdir(parents=True)
    (tmp_path / "cache" / "cifar100-0123" / "meta.json").write_text("{}")
    (tmp_path / "data" / "location30").mkdir(parents=True)
    (tmp_path / "data" / "location30" / "dataset_location.tgz").write_text("")
    return list(doctor.examine(tmp_path / "data"))


def test_a_sound_machine_is_healthy(findings: list[MachineCheck], tmp_path: Path) -> None:
    assert doctor.healthy(findings)
    found = {one.name: one for one in findings}
    assert re.search(r"python 3\.\d+.*, fedsim 0\.1\.0, flwr .*, torch ", found["versions"].found)
    assert found["adversaries"].found.startswith("curious-participant, curious-server")
    assert found["disk, cache"].found == f"20.0 GB free in {tmp_path}/cache"
    assert found["data cifar100"].found == "decoded in the cache"
    assert found["data location30"] == MachineCheck(
        "data location30",
        MachineStatus.GOOD,
        f"files in {tmp_path}/data/location30, not decoded yet",
    )
    assert found["data texas100"] == MachineCheck(
        "data texas100", MachineStatus.NOTE, "not here; `fedsim data fetch texas100`"
    )
    assert findings[-1].name == "self-test"


def test_problems_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(group: str, name: str) -> None:
        raise PluginError(f"cannot import plugin {name!r}: ImportError: no")

    monkeypatch.setattr(plugins, "resolve", broken)
    with_free(monkeypatch, examination.LEAST_FREE_BYTES - 1)
    monkeypatch.setattr(examination, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setattr(
        examination, "self_test", lambda: MachineCheck("self-test", MachineStatus.GOOD, "")
    )
    problems = {
        one.name: one.found for one in doctor.examine(None) if one.status is MachineStatus.PROBLEM
    }
    assert problems["versions"] == "not installed: no-such-package"
    assert problems["models"] == "cannot import plugin 'alexnet': ImportError: no"
    assert problems.keys() >= {"disk, here", "disk, cache", "adversaries", "attacks", "datasets"}


def test_the_findings_for_a_person_and_for_a_program() -> None:
    findings = [
        MachineCheck("GPU", MachineStatus.NOTE, "none [bold]at all"),
        MachineCheck("disk", MachineStatus.PROBLEM, "full"),
    ]
    text = io.StringIO()
    Console(width=60, file=text).print(doctor.findings_table(findings))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert lines[1:] == [["GPU", "note", "none", "[bold]at", "all"], ["disk", "problem", "full"]]
    assert doctor.as_json(findings) == {
        "schema": 1,
        "healthy": False,
        "findings": [
            {"name": "GPU", "status": "note", "found": "none [bold]at all"},
            {"name": "disk", "status": "problem", "found": "full"},
        ],
    }
