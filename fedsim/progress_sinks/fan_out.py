"""Several watchers in the place of one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fedsim.progress import Advance, Watcher


class FanOut:
    """A watcher that forwards everything to others, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def say(self, text: str) -> None:
        """Pass the line on."""
        for watcher in self._watchers:
            watcher.say(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Pass the work and its steps on."""
        with ExitStack() as stack:
            advances = [stack.enter_context(w.task(what, total, done)) for w in self._watchers]

            def advance(standing: str) -> None:
                for one in advances:
                    one(standing)

            yield advance
