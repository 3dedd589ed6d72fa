"""The duration of a run, kept in its provenance.

It is unknown for a run that was stopped and resumed. Rounds that were simulated before, for another
run in the same folder, are not included.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedsim.files import read_json, write_json
from fedsim.rundir import RunDirectory

SECONDS = "seconds"
WALL, PROCESSOR = "wall", "processor"


@dataclass(frozen=True)
class RunTiming:
    """Seconds from beginning to end, and of all processors together.

    Processors of other machines, and of processes that are not ours (Ray, Flower's SuperNodes), are
    not counted.
    """

    wall: float
    processor: float

    def __str__(self) -> str:
        """Return both in hours, minutes and seconds."""
        return (
            f"{clock_text(self.wall)} of wall time, {clock_text(self.processor)} of processor time"
        )


def added(several: Iterable[RunTiming]) -> RunTiming:
    """Return the total duration of runs."""
    each = list(several)
    return RunTiming(sum(one.wall for one in each), sum(one.processor for one in each))


@contextmanager
def timed(run: RunDirectory) -> Iterator[None]:
    """Record the duration of the context that makes a run, unless the run is resumed."""
    new = not run.experiment.is_file()
    began, spent = time.monotonic(), _processor_seconds()
    yield
    wall, processor = time.monotonic() - began, _processor_seconds() - spent
    if new:
        seconds = {WALL: round(wall, 1), PROCESSOR: round(processor, 1)}
        write_json(run.provenance, {**read_json(run.provenance), SECONDS: seconds})


def read_took(run: RunDirectory) -> RunTiming | None:
    """Return the duration of a run; None if unknown."""
    try:
        seconds = read_json(run.provenance)[SECONDS]
        return RunTiming(float(seconds[WALL]), float(seconds[PROCESSOR]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _processor_seconds() -> float:
    """Return the processor time of this process and of its ended children."""
    return sum(os.times()[:4])


def clock_text(seconds: float) -> str:
    """Return a time in hours, minutes and seconds.

    >>> clock_text(3_725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
