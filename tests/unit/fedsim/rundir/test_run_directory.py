"""A run directory belongs to one experiment and one process at a time."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.errors import RunDirectoryError
from fedsim.rundir import RunDirectory


def test_a_new_run_directory_is_private_and_holds_its_experiment(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs" / "first", "seed: 1\n")
    assert run.experiment.read_text() == "seed: 1\n"
    for folder in (tmp_path / "runs", run.path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(run.experiment.stat().st_mode) == 0o600


def test_an_empty_folder_becomes_a_run_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".experiment.yaml.x.part").touch()  # whoever made it was killed
    assert RunDirectory.create(tmp_path / "empty", "seed: 1\n").experiment.is_file()


def test_the_same_experiment_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "r", "seed: 1\n")
    RunDirectory.create(tmp_path / "r", "seed: 1\n")
    with pytest.raises(RunDirectoryError, match="holds a run of another experiment"):
        RunDirectory.create(tmp_path / "r", "seed: 2\n")
    assert (tmp_path / "r" / "experiment.yaml").read_text() == "seed: 1\n"


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("x")
    for path in (tmp_path, thesis):
        with pytest.raises(RunDirectoryError, match="is not a run directory and not empty"):
            RunDirectory.create(path, "seed: 1\n")
    assert list(tmp_path.iterdir()) == [thesis]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirectoryError, match=r"cannot make the run directory .*file/run") as e:
        RunDirectory.create(tmp_path / "file" / "run", "seed: 1\n")
    assert "\n" not in str(e.value)


def test_what_is_not_there_cannot_be_attacked(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is not a run directory .*fedsim run CONFIG"):
        RunDirectory.existing(tmp_path)
    made = RunDirectory.create(tmp_path / "r", "seed: 1\n")
    assert RunDirectory.existing(tmp_path / "r") == made


TRY = """
import sys
from pathlib import Path
from fedsim.errors import RunDirectoryError
from fedsim.rundir import RunDirectory
try:
    with RunDirectory(Path(sys.argv[1])).locked():
        print("mine")
except RunDirectoryError as error:
    print(error)
"""


def test_two_processes_cannot_work_in_one_run(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "r", "seed: 1\n")

    def another() -> str:
        return subprocess.run(
            [sys.executable, "-c", TRY, run.path], capture_output=True, text=True, check=True
        ).stdout.strip()

    with run.locked():
        assert re.fullmatch(
            rf"process {os.getpid()} on \S+ \(.+, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\) is "
            rf"working in {run.path}; wait for it, or choose another --out",
            another(),
        )
    assert another() == "mine"


def test_what_a_killed_process_was_writing_is_swept(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "r", "seed: 1\n")
    folder = run.snapshots("server")
    folder.mkdir(parents=True)
    left = folder / ".round-00001.aggregate.safetensors.abc.part"
    left.mkdir()
    (left / "round-00001.aggregate.safetensors").write_bytes(b"half")
    kept = folder / "round-00001.aggregate.safetensors"
    kept.write_bytes(b"whole")
    with run.locked():
        assert not left.exists()
    assert kept.read_bytes() == b"whole"


def test_the_layout(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    found = [
        run.experiment,
        run.provenance,
        run.ledger,
        run.checkpoint("honest"),
        run.history("honest"),
        run.results,
        run.report,
        run.snapshots("a"),
        run.features("a", "q"),
        run.scores("a", "q", "loss"),
        run.traces("a", "q", "o", "loss"),
    ]
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "experiment.yaml",
        "provenance.json",
        "ledger.parquet",
        "federations/honest/checkpoint.safetensors",
        "federations/honest/history.json",
        "results.json",
        "report.html",
        "snapshots/a",
        "features/a/q",
        "scores/a/q/loss.parquet",
        "traces/a/q/o/loss.parquet",
    ]


def test_what_it_is_run_on_makes_no_other_experiment(tmp_path: Path) -> None:
    one = "seed: 1\nengine:\n  name: local\n  threads: 1\n  workers: 1\n"
    RunDirectory.create(tmp_path / "r", one)
    RunDirectory.create(tmp_path / "r", one.replace("workers: 1", "workers: 2"))
    RunDirectory.create(tmp_path / "r", one.replace("local", "ray").replace("workers", "actors"))
    with pytest.raises(RunDirectoryError, match="another experiment"):
        RunDirectory.create(tmp_path / "r", one.replace("threads: 1", "threads: 2"))
