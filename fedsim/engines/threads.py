"""Limits on the number of computing threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Thread

import torch
from threadpoolctl import threadpool_limits

from fedsim.errors import ConfigError


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit torch and BLAS to `threads` threads within the context; then restore the limits.

    The default is one thread: two threads on a machine with another busy process have run six times
    slower than one. Another number of threads rounds sums differently, so the setting is part of
    the experiment: with the same number, machines of the same kind give the same figures.

    Raises
    ------
    ConfigError
        If this machine does not allow a process that many threads.
    """
    require_threads(threads)
    before = torch.get_num_threads()
    with threadpool_limits(limits=threads):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def limit_threads(threads: int) -> None:
    """Limit the calling thread to `threads` threads for good; for use in worker processes."""
    threadpool_limits(limits=threads)
    torch.set_num_threads(threads)


@cache
def require_threads(threads: int) -> None:
    """Raise `ConfigError` if so many threads cannot start: OpenMP would abort the process."""
    done, started = Event(), list[Thread]()
    try:
        for _ in range(2 * (threads - 1)):  # torch and BLAS each have their own threads
            one = Thread(target=done.wait, daemon=True)
            one.start()
            started.append(one)
    except (RuntimeError, MemoryError) as error:
        raise ConfigError(
            f"engine.threads is {threads}, for torch and for BLAS, and this process may start "
            f"{len(started)} threads; give fewer"
        ) from error
    finally:
        done.set()
        for one in started:
            one.join()
