"""Ctrl-C stops between two of anything, or again in the middle of stopping; nothing is lost."""

import os
import signal
import time
from collections.abc import Callable, Sequence
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

from fedsim.cli.interrupts import ONCE_WITHIN
from fedsim.rundir import RunDirectory
from fedsim.stages import simulate

ROUNDS: dict[str, Any] = {"federation": {"rounds": 150, "evaluation": {"every": 7}}}
STOPPED = "stopped; the same command resumes where it was\n"
STOPPING, AGAIN = "stopping", "pressed-again"
SLOW_DISK = 10 * ONCE_WITHIN


def stop_slowly() -> None:
    """Let the disk be slow once this process is stopping, so that a hand can press again.

    Files in the current folder tell that it is stopping, and that it was pressed while it wrote.
    """
    checkpoint_every_round()
    keep, sync = simulate._keep_what_is_there, os.fsync

    def synced(descriptor: int) -> None:
        try:
            Path(STOPPING).touch()
            time.sleep(SLOW_DISK)
        except KeyboardInterrupt:
            Path(AGAIN).touch()
            raise
        sync(descriptor)

    def kept(*arguments: Any) -> None:
        os.fsync = synced  # type: ignore[assignment]
        keep(*arguments)

    simulate._keep_what_is_there = kept


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files of a run that was never stopped."""
    return files(toys.simulated(tmp_path_factory.mktemp("whole"), **ROUNDS))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("presses", [1, 2])
def test_stopped_by_the_terminal_it_goes_on(
    tmp_path: Path, workers: int, presses: int, whole: dict[str, str]
) -> None:
    """Two presses at once are one."""

    def press(group: int) -> None:
        for _ in range(presses):
            os.killpg(group, signal.SIGINT)
            time.sleep(0.002)

    assert stopped_and_gone_on(tmp_path, workers, checkpoint_every_round, press) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_pressed_again_while_it_stops_it_goes_on(
    tmp_path: Path, workers: int, whole: dict[str, str]
) -> None:
    """The second press hits in the middle of writing where the federation stands."""

    def press(group: int) -> None:
        os.killpg(group, signal.SIGINT)
        wait_until((tmp_path / STOPPING).is_file)
        time.sleep(1.2 * ONCE_WITHIN)
        os.killpg(group, signal.SIGINT)

    assert stopped_and_gone_on(tmp_path, workers, stop_slowly, press) == whole
    assert (tmp_path / AGAIN).is_file()


def stopped_and_gone_on(
    folder: Path, workers: int, first: Callable[[], None], press: Callable[[int], None]
) -> dict[str, str]:
    """Run the toy, press Ctrl-C as a terminal does, run it again; return what it has simulated.

    Parameters
    ----------
    folder, workers
        Where, and on how many processes.
    first
        What the process that is stopped does first.
    press
        Presses; a terminal sends it to the whole group.
    """
    experiment, run = written(folder, **ROUNDS), RunDirectory(folder / "r")
    words: Sequence[object] = (
        *("run", experiment, "--out", "r", "--quiet"),
        *("--set", f"engine.workers={workers}"),
    )
    with commands(folder) as fedsim:
        command = fedsim(*words, first=first)
        wait_until(lambda: reached(run) >= 5)
        forked = children(command.pid)
        press(command.pid)
        code, told = command.ended()
        assert code == 130
        assert told.endswith(STOPPED)
        assert "Traceback" not in told
        assert len(forked) == (workers if workers > 1 else 0)
        assert not any(lives(pid) for pid in forked)
        assert 5 <= reached(run) < 150
        code, told = fedsim(*words).ended()
        assert code == 0, told
    return {k: v for k, v in files(run).items() if not k.startswith(("scores/", "traces/"))}
