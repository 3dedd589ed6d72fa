"""Ctrl-C: one stop, however often it is pressed within a second."""

import signal
from collections.abc import Iterator

import pytest

from fedsim.cli.interrupts import orderly_interrupts


@pytest.fixture(autouse=True)
def _as_python_has_it() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def test_several_within_a_second_are_one() -> None:
    clock = Clock()
    with orderly_interrupts(clock):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        clock.now += 0.99
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # while the process ends, too


def test_a_later_one_stops_what_the_first_did_not() -> None:
    clock = Clock()
    with orderly_interrupts(clock):
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            clock.now += 1.0


def test_nothing_is_left_behind_where_nobody_pressed_it() -> None:
    with orderly_interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_it_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with orderly_interrupts():
        signal.raise_signal(signal.SIGINT)
