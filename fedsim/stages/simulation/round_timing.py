"""The duration of a federation's rounds, kept in the run's provenance.

For a federation that was resumed, or that started from a cached state, it covers the rounds that
were simulated last. It describes one machine and is part of no result.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from fedsim.files import read_json, write_json
from fedsim.rundir import RunDirectory

_KEY = "simulated rounds"


@dataclass(frozen=True)
class RoundTiming:
    """Rounds that were simulated in one go.

    Attributes
    ----------
    rounds
        How many.
    wall, processor
        Seconds of all of them together, and of this process's processors; what other processes
        compute (``engine.workers``, Ray, SuperNodes) is not in the latter.
    """

    rounds: int
    wall: float
    processor: float


class RoundCounter:
    """Counts rounds while they are simulated."""

    rounds = 0

    def count(self) -> None:
        """Count a round that has ended."""
        self.rounds += 1


@contextmanager
def timed_rounds(run: RunDirectory, federation: str) -> Iterator[RoundCounter]:
    """Record the duration of the rounds in the context, if the run has a provenance file."""
    counter, began, spent = RoundCounter(), time.monotonic(), time.process_time()
    yield counter
    took = RoundTiming(
        counter.rounds,
        round(time.monotonic() - began, 3),
        round(time.process_time() - spent, 3),
    )
    if took.rounds and run.provenance.is_file():
        kept = read_json(run.provenance)
        known = {**kept.get(_KEY, {}), federation: asdict(took)}
        write_json(run.provenance, {**kept, _KEY: known})


def read_round_timing(run: RunDirectory, federation: str) -> RoundTiming | None:
    """Return the duration of a federation's rounds; None if unknown."""
    try:
        took = RoundTiming(**read_json(run.provenance)[_KEY][federation])
        return took if took.rounds > 0 and took.wall >= 0 and took.processor >= 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
