"""What `flwr run --stream` shows of a run of ours: lines in Flower's own log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from fedsim.progress import Advance


class LogWatcher:
    """A watcher that writes a line for each step into the log of this Flower process."""

    def __init__(self) -> None:
        self._log = logging.getLogger("flwr")

    def say(self, text: str) -> None:
        """Write a line."""
        self._log.info(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Write a line per step."""
        steps = count(done + 1)
        yield lambda standing: self._log.info(
            "%s: %d of %d, %s", what, next(steps), total, standing
        )
