"""Ctrl-C once stops between two of anything, twice in the middle of stopping; nothing is lost."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import toys
from faults import (
    checkpoint_every_round,
    children,
    commands,
    files,
    lives,
    reached,
    wait_until,
    written,
)

from fedsim.rundir import RunDirectory

ROUNDS: dict[str, Any] = {"federation": {"rounds": 150, "evaluation": {"every": 7}}}
STOPPED = "stopped; the same command resumes where it was\n"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_stopped_by_the_terminal_it_goes_on(tmp_path: Path, workers: int, times: int) -> None:
    experiment, run = written(tmp_path, **ROUNDS), RunDirectory(tmp_path / "r")
    words = ("run", experiment, "--out", "r", "--quiet", "--set", f"engine.workers={workers}")
    with commands(tmp_path) as fedsim:
        command = fedsim(*words, first=checkpoint_every_round)
        wait_until(lambda: reached(run) >= 5)
        forked = children(command.pid)
        for _ in range(times):  # a terminal sends it to the whole group
            os.killpg(command.pid, signal.SIGINT)
            time.sleep(0.002)
        code, told = command.ended()
        assert code == 130
        assert told.endswith(STOPPED)
        assert "Traceback" not in told
        assert len(forked) == (workers if workers > 1 else 0)
        assert not any(lives(pid) for pid in forked)
        assert 5 <= reached(run) < 150
        code, told = fedsim(*words).ended()
        assert code == 0, told
    simulated = {k: v for k, v in files(run).items() if not k.startswith(("scores/", "traces/"))}
    assert simulated == files(toys.simulated(tmp_path / "whole", **ROUNDS))
