"""Threads that cannot be started are refused: OpenMP would end the process."""

from threading import Thread, active_count

import pytest

from fedsim.engines.threads import limited_threads, require_threads
from fedsim.errors import ConfigError


def test_threads_that_cannot_be_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before, start, started = active_count(), Thread.start, list[Thread]()

    def start_up_to_4(thread: Thread) -> None:
        if len(started) == 4:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(Thread, "start", start_up_to_4)
    with (
        pytest.raises(ConfigError, match=r"threads is 77, .*this process may start 4 threads"),
        limited_threads(77),
    ):
        raise AssertionError
    require_threads(1)
    assert active_count() == before
