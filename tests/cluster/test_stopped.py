"""Ctrl-C on a cluster that was started for the run: it ends with it, and any engine goes on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import toys

from fedsim.federation.checkpoint import Checkpoint
from fedsim.rundir import RunDirectory

LONG = {"federation": {"rounds": 150}}
RUN = f"""
import signal
import sys
from pathlib import Path
import toys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
engine = {{"name": "ray", "actors": 2, "cpus": 0.1}}
toys.simulated(Path(sys.argv[1]), engine=engine, **{LONG})
"""


def files(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file but the experiment, which tells the engine."""
    return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}


def living(group: int) -> int:
    """Return how many processes of a process group there are, without those that have ended."""
    count = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp, *_ = file.read_text().rpartition(")")[2].split()
            count += int(pgrp) == group and state != "Z"
    return count


@pytest.mark.slow
def test_ctrl_c_in_mid_round_leaves_a_checkpoint_and_no_process(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "r")
    environment = os.environ | {"PYTHONPATH": str(Path(toys.__file__).parent)}
    command = [sys.executable, "-c", RUN, run.path]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while process.poll() is None and not list(run.path.glob("snapshots/*/*")):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: Ray's processes get it, too
        told = process.communicate(timeout=60)[1]
    # Ray's shutdown at the end of a bare Python process may leave 1 in place of the signal.
    assert process.returncode in (-signal.SIGINT, 1), told
    assert told.rstrip().endswith("KeyboardInterrupt")
    while living(process.pid):
        time.sleep(0.05)
    assert 1 <= Checkpoint.load(run.checkpoint("honest")).progress.round < 150
    whole = toys.simulated(tmp_path / "whole", **LONG)
    assert files(toys.simulated(run.path, **LONG)) == files(whole)
