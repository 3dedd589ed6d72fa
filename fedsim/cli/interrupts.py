"""Handling of repeated Ctrl-C.

Python raises a `KeyboardInterrupt` for each Ctrl-C, even while the first one is being handled,
which would end a command before it has written its state.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ONCE_WITHIN = 1.0  # seconds


@contextmanager
def orderly_interrupts(clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Let Ctrl-C raise a `KeyboardInterrupt`, but several within a second only one.

    Where Ctrl-C is not Python's to handle (in another thread, or where it is ignored, as under
    nohup), nothing is changed. Once it was pressed, this stays so to the end of the process.
    """
    latest = -ONCE_WITHIN
    pressed = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal latest, pressed
        now = clock()
        if not pressed or now - latest >= ONCE_WITHIN:
            latest, pressed = now, True
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if not pressed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
