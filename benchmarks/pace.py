"""Many simulators alive at once, each in a process of its own, of which one computes at a time.

A simulator asks for leave before each round. Between blocks of rounds it waits, so that blocks of
different simulators can be timed in turn, next to each other, with start-up and first round apart.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COMMANDS, ANSWERS = "BENCHMARK_COMMANDS", "BENCHMARK_ANSWERS"


class NoMoreRounds(Exception):  # noqa: N818 - nothing went wrong
    """No more rounds are wanted."""


class Pace:
    """The simulator's side: leave for each round, and the time that blocks take."""

    def __init__(self) -> None:
        self._commands = Path(os.environ[COMMANDS]).open()  # noqa: SIM115 - open to the end
        self._answers = Path(os.environ[ANSWERS]).open("w")  # noqa: SIM115
        self._left = 0
        self._began: float | None = None

    def may_start(self) -> bool:
        """Return whether another round is wanted; wait until that is known."""
        if not self._left:
            if self._began is not None:
                self._answers.write(f"{time.perf_counter() - self._began}\n")
                self._answers.flush()
            wanted = self._commands.readline()
            if not wanted:
                return False
            self._left, self._began = int(wanted), time.perf_counter()
        self._left -= 1
        return True

    def end(self, parameters: Mapping[str, NDArray[np.generic]]) -> None:
        """Hand over the parameters that the last round ended with."""
        np.savez(sys.argv[-1], allow_pickle=False, **parameters)


@dataclass
class Simulator:
    """The benchmark's side of one simulator.

    Attributes
    ----------
    command
        What starts it; the file for its final parameters is appended.
    folder
        Where that file and its messages go.
    """

    command: list[str]
    folder: Path
    start_up: float = 0.0
    blocks: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until its first round is over; its memory counts from here on."""
        self.folder.mkdir(parents=True)
        commands, self._tell = os.pipe()
        heard, answers = os.pipe()
        ours = {
            # By name, as a launcher between us would not hand on the descriptors themselves.
            COMMANDS: f"/proc/{os.getpid()}/fd/{commands}",
            ANSWERS: f"/proc/{os.getpid()}/fd/{answers}",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parent),  # for processes that a simulator starts
        }
        began = time.perf_counter()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self.command, str(self.folder / "end.npz")],
                env={**os.environ, **ours},
                stdout=log,
                stderr=log,
            )
        self._answers = os.fdopen(heard)
        os.write(self._tell, b"1\n")
        while self._process.poll() is None and not select.select([heard], [], [], 0.2)[0]:
            self._look()
        os.close(commands)
        os.close(answers)
        self._answer()
        self.start_up = time.perf_counter() - began

    def block(self, rounds: int) -> float:
        """Run a block of rounds, and return the seconds that one took."""
        return self._run(rounds) / rounds

    def watched_rounds(self, rounds: int) -> None:
        """Run rounds that are not timed, and note the memory of all its processes."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,))
        watcher.start()
        self._run(rounds)
        over.set()
        watcher.join()

    def end(self) -> dict[str, NDArray[np.float32]]:
        """Let it end, and return its final parameters."""
        assert self._process is not None  # noqa: S101 - it was started
        os.close(self._tell)
        self._process.wait(timeout=120)
        with np.load(self.folder / "end.npz") as found:
            return {name: found[name] for name in found.files}

    def kill(self) -> None:
        """End it if it has not ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _run(self, rounds: int) -> float:
        os.write(self._tell, f"{rounds}\n".encode())
        return self._answer()

    def _answer(self) -> float:
        answer = self._answers.readline()
        if not answer:
            log = (self.folder / "log").read_text(errors="replace")
            raise RuntimeError(f"{self.command} ended early:\n{log[-2000:]}")
        return float(answer)

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(0.05):
            self._look()

    def _look(self) -> None:
        assert self._process is not None  # noqa: S101 - it was started
        self.peak_bytes = max(self.peak_bytes, sum(map(_pss, family(self._process.pid))))


def family(process: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield process
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(c) for t in threads for c in (t / "children").read_text().split()]
    except OSError:  # it has ended
        return
    for child in children:
        yield from family(child)


def _pss(process: int) -> int:
    """Return the proportional set size of a process in bytes: shared pages count in shares."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
