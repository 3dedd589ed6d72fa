"""The driver killed with -9, while it writes any kind of file and in the middle of a round."""

import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faults import (
    checkpoint_every_round,
    commands,
    die_while_writing,
    files,
    misbehaving,
    reached,
    written,
)

from fedsim.files import UNFINISHED
from fedsim.rundir import RunDirectory

SECTIONS: dict[str, Any] = {
    "federation": {
        "rounds": 4,
        "strategy": {"name": "FedAvgM", "server_momentum": 0.9},
        "local": {"batch_size": 10, "optimizer": "adam", "learning_rate": 0.002},
        "evaluation": {"every": 2},
    },
    "adversaries": ["curious-server", {"name": "isolating-server", "first": 3}],
}


@pytest.mark.slow
def test_killed_while_it_writes_any_kind_of_file(tmp_path: Path) -> None:
    experiment, run = written(tmp_path, **SECTIONS), RunDirectory(tmp_path / "r")
    with commands(tmp_path) as fedsim:
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
        deaths, half_written, moment = 0, [], 2
        while True:
            command = fedsim(
                *("run", experiment, "--out", "r", "--quiet"),
                first=partial(die_while_writing, moment),
            )
            code, told = command.ended()
            if code == 0:
                break
            assert (code, told) == (-signal.SIGKILL, "")
            deaths += 1
            half_written += [p.relative_to(run.path) for p in run.path.rglob(f"*{UNFINISHED}")]
            # Each kind of moment in turn; later and later, as what is there is not written again.
            moment += 5
            assert deaths < 40, told
    assert files(run) == files(RunDirectory(tmp_path / "whole"))
    assert not list(run.path.rglob(f"*{UNFINISHED}"))
    assert {"federations", "snapshots"} <= {path.parts[0] for path in half_written}
    assert deaths >= 5


@pytest.mark.parametrize("kept", [0, 2])
def test_killed_in_mid_round(tmp_path: Path, kept: int) -> None:
    once = str(tmp_path / "once")  # it kills the driver, as with one worker it is run there
    sections = SECTIONS | {"adversaries": ["curious-server", misbehaving("is killed", once=once)]}
    experiment, run = written(tmp_path, **sections), RunDirectory(tmp_path / "r")
    often = {"first": checkpoint_every_round} if kept else {}
    with commands(tmp_path) as fedsim:
        killed = fedsim("run", experiment, "--out", "r", "--quiet", **often).ended()
        assert killed == (-signal.SIGKILL, "")
        assert reached(run) == kept
        code, told = fedsim("run", experiment, "--out", "r", "--json").ended()
        assert code == 0, told
        steps = re.findall(r'"standing": "loss', told)
        assert len(steps) == 4 - kept
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(run) == files(RunDirectory(tmp_path / "whole"))
