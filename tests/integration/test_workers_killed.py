"""A run on several processes: stopped or killed at any point, it ends with one process's bytes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys

from fedsim.federation.checkpoint import Checkpoint
from fedsim.rundir import RunDirectory

DISHONEST: dict[str, Any] = {
    "adversaries": [
        *toys.tree()["adversaries"],
        "isolating-server",
        {"name": "gradient-ascent-participant", "participant": 1, "first": 3},
    ]
}
LONG = {"federation": {"rounds": 120}}
RUN = """
import sys
from pathlib import Path
import toys
from fedsim.stages import keeping
keeping.CHECKPOINT_SECONDS = 0.0
toys.simulated(Path(sys.argv[1]), engine={"workers": 2}, federation={"rounds": 120})
"""


def files(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file but the experiment, which tells the number of workers."""
    return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}


@pytest.mark.parametrize("workers", [2, 3])
def test_the_files_do_not_depend_on_the_number_of_processes(tmp_path: Path, workers: int) -> None:
    one = toys.simulated(tmp_path / "one", **DISHONEST)
    several = toys.simulated(tmp_path / "several", engine={"workers": workers}, **DISHONEST)
    assert files(several) == files(one)
    assert len([name for name in files(one) if name.startswith("snapshots/")]) >= 8


@pytest.mark.parametrize("after", [1, 3])
def test_stopped_between_rounds_it_goes_on(toy_run: Path, tmp_path: Path, after: int) -> None:
    several = {"engine": {"workers": 2}}
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "r", watcher=toys.Stopping(after), **several)
    assert reached(RunDirectory(tmp_path / "r")) == after
    assert files(toys.simulated(tmp_path / "r", **several)) == files(RunDirectory(toy_run))


def reached(run: RunDirectory) -> int:
    path = run.checkpoint("honest")
    return Checkpoint.load(path).progress.round if path.is_file() else 0


def children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def started(run: RunDirectory, stop: Callable[[int, list[int]], None]) -> tuple[int, str]:
    """Run on two processes, stop some way after a few more rounds; return how the run ended."""
    begun_at = reached(run)
    environment = os.environ | {"PYTHONPATH": str(Path(toys.__file__).parent)}
    command = [sys.executable, "-c", RUN, run.path]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while process.poll() is None and reached(run) < begun_at + 5:
            time.sleep(0.01)
        workers = children(process.pid)
        stop(process.pid, workers)
        errors = process.communicate(timeout=60)[1]
    deadline = time.monotonic() + 5
    while any(lives(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process.returncode, errors


@pytest.mark.slow
def test_killed_in_mid_round_it_goes_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "r")
    code, errors = started(run, lambda main, workers: os.kill(workers[1], signal.SIGKILL))
    assert code == 1
    # Whether it was running a participant or was asked for its states, it is named and told.
    told = r"the process that .*participant.* was killed by SIGKILL \(out of memory\?\); run"
    assert re.search(told, errors)

    after_worker = reached(run)
    code, _ = started(run, lambda main, workers: os.kill(main, signal.SIGKILL))
    assert code == -signal.SIGKILL

    after_main = reached(run)
    code, errors = started(run, lambda main, workers: os.killpg(main, signal.SIGINT))
    assert code == -signal.SIGINT
    assert "Traceback" in errors
    assert 5 <= after_worker < after_main < reached(run) < 120

    code, errors = started(run, lambda main, workers: None)
    assert code == 0, errors
    assert files(run) == files(toys.simulated(tmp_path / "whole", **LONG))
