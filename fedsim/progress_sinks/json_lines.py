"""Progress for programs: one JSON object a line.

Every line has ``schema`` (2), ``event``, and ``time`` (UTC, ISO 8601). Keys are added in a schema,
never renamed or removed. The events, and what else their lines have:

``started``
    ``task``, a number that later lines of the task have too; ``what`` it is; the steps ``done``
    before; ``total``. Tasks may contain others and, in several processes, go on side by side.
``progress``
    ``task``, ``what``, ``done``, ``total``, ``standing`` (a few words), and ``seconds_left``, an
    estimate from the steps so far.
``said``
    ``text``, a line of progress.
``finished``
    ``task``, ``what``, ``done``, ``total``, and ``seconds``, its duration. If `done` is less than
    `total`, the task was aborted.

A command adds its own events through `JsonLines.emit`: ``planned`` before a run, ``results`` at the
end (`fedsim.cli.output`). An error is no event: it is one sentence on stderr and the exit code.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TextIO

from fedsim.progress import Advance

SCHEMA = 2


class JsonLines:
    """A watcher that writes one event per line.

    Parameters
    ----------
    stream
        The output; flushed after each line, so that the reader of a pipe gets events at once.
    clock
        Returns the time in seconds, from any start; durations are computed from it.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._numbers = count(1)

    def emit(self, event: str, **facts: object) -> None:
        """Write one event; NaN and infinities are refused, because they are not JSON."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"schema": SCHEMA, "event": event, "time": now, **facts}
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line of progress."""
        self.emit("said", text=text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Write the start of a task, each of its steps, and its end."""
        task, started, before = next(self._numbers), self._clock(), done
        self.emit("started", task=task, what=what, done=done, total=total)

        def advance(standing: str) -> None:
            nonlocal done
            done += 1
            left = (self._clock() - started) / (done - before) * (total - done)
            self.emit(
                "progress",
                task=task,
                what=what,
                done=done,
                total=total,
                standing=standing,
                seconds_left=round(left, 3),
            )

        try:
            yield advance
        finally:
            seconds = round(self._clock() - started, 3)
            self.emit("finished", task=task, what=what, done=done, total=total, seconds=seconds)
