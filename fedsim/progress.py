"""Progress of long work, reported to a watcher.

Computing code calls a `Watcher`; the command line passes one that draws bars with the time left, a
script passes none, and a test can pass one that counts.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[str], None]


class Watcher(Protocol):
    """Receives the progress of long work."""

    def say(self, text: str) -> None:
        """Take a line of progress."""

    def task(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Begin a task of `total` steps, `done` of which are finished already.

        The context yields a function to call after each step, with a few words on the progress.
        """


class Silence:
    """A watcher that drops all progress."""

    def say(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Drop every step."""
        yield lambda standing: None


SILENCE: Watcher = Silence()
