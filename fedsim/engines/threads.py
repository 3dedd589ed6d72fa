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
    """Run a block with `threads` threads in torch and in BLAS; the caller's setting is kept.

    One is the default: two threads beside a busy neighbour have run six times slower than one. And
    as sums are rounded differently by other numbers of threads, the setting is part of the
    experiment: the same number gives the same figures on any machine of the same kind.

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
    """Let the calling thread compute with `threads` threads from now on; for own processes."""
    threadpool_limits(limits=threads)
    torch.set_num_threads(threads)


@cache
def require_threads(threads: int) -> None:
    """Raise `ConfigError` if that many cannot be started: OpenMP would end the whole process."""
    done, started = Event(), list[Thread]()
    try:
        for _ in range(2 * (threads - 1)):  # torch and BLAS have threads of their own each
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
