"""A worker process that is killed is replaced; the rounds since the checkpoint are run again."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys
from faults import (
    Command,
    Listening,
    checkpoint_every_round,
    children,
    commands,
    files,
    lives,
    misbehaving,
    reached,
    wait_until,
    written,
)

from fedsim.engines.processes import WorkerEnded
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation import checkpointing

# Momentum in the server and in the participants, attackers with memories in either position: all
# that a federation would have to remember.
STATEFUL: dict[str, Any] = {
    "federation": {
        "rounds": 5,
        "strategy": {"name": "FedAdam", "eta": 0.02},
        "local": {"batch_size": 10, "optimizer": "adam", "learning_rate": 0.002},
        "evaluation": {"every": 2},
    }
}
ACTIVE = [
    "isolating-server",
    {"name": "gradient-ascent-participant", "participant": 2, "first": 2},
]
WORKERS = {"engine": {"workers": 2}}


def stateful(how: str, once: Path) -> dict[str, Any]:
    return STATEFUL | {"adversaries": [*ACTIVE, misbehaving(how, wrong_in=3, once=str(once))]}


# Others branch from round 1, so that one is kept, however quick the rounds are.
@pytest.mark.parametrize(("seconds", "kept"), [(30.0, 1), (0.0, 2)])
def test_killed_in_mid_round_it_goes_on_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, kept: int
) -> None:
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", seconds)
    once, watcher = tmp_path / "once", Listening()
    run = toys.simulated(tmp_path / "r", watcher=watcher, **stateful("is killed", once), **WORKERS)
    [told] = [text for text in watcher.said if "killed" in text]
    again = {1: "1 finished round", 2: "0 finished rounds"}[kept]
    assert re.fullmatch(
        r"the process that ran participant 1 in round 3 was killed by SIGKILL \(out of memory\?\); "
        rf"it goes on after round {kept}, and does {again} again \(\d+\.\d s\)",
        told,
    )
    assert once.exists()
    whole = toys.simulated(tmp_path / "whole", **stateful("is killed", once))
    assert files(run) == files(whole)
    assert len([name for name in files(run) if name.startswith("snapshots/")]) >= 6


def test_killed_too_often_it_stops_with_one_sentence_and_goes_on_later(tmp_path: Path) -> None:
    always = toys.tree(adversaries=[misbehaving("is killed", wrong_in=3)])
    watcher = Listening()
    with pytest.raises(WorkerEnded) as error:
        toys.simulated(
            tmp_path / "r", watcher=watcher, **always | {"engine": {"workers": 2, "restarts": 2}}
        )
    assert str(error.value) == (
        "the process that ran participant 1 in round 3 was killed by SIGKILL (out of memory?); "
        "run the same command again, it goes on where it was"
    )
    assert len(watcher.said) == 2
    assert watcher.steps == 3 * 2


EXACTLY = re.compile(
    r"fedsim: the process that (ran participant 1 in round \d+|was to give its participants' "
    r"states) was killed by SIGKILL \(out of memory\?\); run the same command again, it goes on "
    r"where it was\n"
)


@pytest.mark.slow
def test_killed_from_outside_at_any_moment(tmp_path: Path) -> None:
    experiment = written(tmp_path, federation={"rounds": 60})
    once, more = ("--set", "engine.restarts=0"), ("--set", "engine.restarts=9")
    run = RunDirectory(tmp_path / "r")

    with commands(tmp_path) as fedsim:

        def ended(stop: Callable[[Command, list[int]], None], *settings: str) -> tuple[int, str]:
            begun_at = reached(run)
            command = fedsim(
                *("run", experiment, "--out", run.path, "--quiet", "--set", "engine.workers=2"),
                *settings,
                first=checkpoint_every_round,
            )
            wait_until(lambda: command.process.exitcode is not None or reached(run) > begun_at + 4)
            workers = children(command.pid)
            assert len(workers) == 2
            stop(command, workers)
            result = command.ended()
            wait_until(lambda: not any(lives(pid) for pid in workers))
            return result

        code, told = ended(lambda command, workers: os.kill(workers[1], signal.SIGKILL), *once)
        assert code == 2
        assert EXACTLY.search(told), told
        after_worker = reached(run)
        code, told = ended(lambda command, workers: os.kill(command.pid, signal.SIGKILL), *once)
        assert (code, told) == (-signal.SIGKILL, "")
        assert 5 <= after_worker < reached(run) < 60
        code, told = ended(lambda command, workers: os.kill(workers[0], signal.SIGKILL), *more)
        assert code == 0, told
    assert reached(run) == 60
    whole = toys.simulated(tmp_path / "whole", federation={"rounds": 60})
    attacked = {k: v for k, v in files(run).items() if not k.startswith(("scores/", "traces/"))}
    assert attacked == files(whole)


def test_killed_while_it_attacks_it_stops_and_keeps_what_is_scored(tmp_path: Path) -> None:
    attacks = ["random", {"name": "faults:DeadlyAttack", "once": str(tmp_path / "once")}]
    experiment = written(tmp_path, attacks=attacks, **WORKERS)
    run = RunDirectory(tmp_path / "r")
    with commands(tmp_path) as fedsim:
        code, told = fedsim("run", experiment, "--out", run.path, "--quiet").ended()
        assert code == 2
        assert re.fullmatch(
            r"fedsim: the process that was at work on curious-\w+, \S+ was killed by SIGKILL "
            r"\(out of memory\?\); run the same command again, it goes on where it was\n",
            told,
        )
        kept = {p: p.stat().st_mtime_ns for p in run.path.glob("scores/*/*/random.parquet")}
        assert kept
        assert fedsim("run", experiment, "--out", run.path, "--quiet").ended()[0] == 0
        assert {p: p.stat().st_mtime_ns for p in kept} == kept
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(run) == files(RunDirectory(tmp_path / "whole"))
