"""Two drivers on one run directory: the second is told who is there; a dead one holds nothing."""

import os
import re
import signal
import stat
from pathlib import Path

import yaml
from faults import Command, commands, files, misbehaving, wait_until, written

from fedsim.rundir import RunDirectory

STUDY = {
    "title": "A study of one cell",
    "reproduces": "nothing",
    "base": "toy.yaml",
    "scales": {"cpu": {}, "paper": {}},
    "axes": {"rate": {"fast": {"federation.local.learning_rate": 0.1}}},
    "tables": [{"rows": ["adversary"], "columns": "attack", "metrics": ["auc"]}],
}


def working(command: Command, path: Path | str) -> str:
    """Return, as a pattern, what others are told while a command works in a run directory."""
    return (
        rf"fedsim: process {command.pid} on \S+ \(fedsim \w+ .+, since [\d-]+ [\d:]+ UTC\) is "
        rf"working in {path}; wait for it, or choose another --out\n"
    )


def hanging_once(folder: Path) -> Path:
    """Write an experiment in which a participant hangs, but only the first time."""
    once = str(folder / "once")
    return written(folder, adversaries=[misbehaving("hangs", wrong_in=2, once=once)])


def test_whoever_comes_second_is_told_who_is_there(tmp_path: Path) -> None:
    experiment, run = hanging_once(tmp_path), RunDirectory(tmp_path / "r")
    words = ("run", experiment, "--out", "r", "--quiet")
    with commands(tmp_path) as fedsim:
        first = fedsim(*words)
        wait_until(lambda: (tmp_path / "once").exists() or first.process.exitcode is not None)
        before = files(run)
        for other in [fedsim(*words), fedsim("attack", "r"), fedsim("report", "r")]:
            code, told = other.ended()
            assert code == 2
            assert re.search(working(first, "r"), told), told
        assert files(run) == before
        assert first.process.exitcode is None
        assert stat.S_IMODE((run.path / ".lock").stat().st_mode) == 0o600

        os.kill(first.pid, signal.SIGKILL)
        first.process.join()
        assert fedsim(*words).ended() == (0, "r/results.json\n")
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(run) == files(RunDirectory(tmp_path / "whole"))


def test_a_study_is_told_who_is_in_its_cell(tmp_path: Path) -> None:
    hanging_once(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    words = ("study", study, "--out", "studies", "--quiet")
    with commands(tmp_path) as fedsim:
        first = fedsim(*words)
        wait_until(lambda: (tmp_path / "once").exists() or first.process.exitcode is not None)
        code, told = fedsim(*words).ended()
        assert code == 2
        assert re.search(working(first, r"studies/runs/\w+"), told), told
        os.kill(first.pid, signal.SIGKILL)
        first.process.join()
        code, told = fedsim(*words).ended()
        assert code == 0, told
    assert (tmp_path / "studies" / "study-cpu" / "table.md").is_file()
