"""How many threads may compute while fedsim does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Run a block with `threads` threads in torch and in BLAS; the caller's setting is kept.

    One is the default: two threads beside a busy neighbour have run six times slower than one. And
    as sums are rounded differently by other numbers of threads, the setting is part of the
    experiment: the same number gives the same figures on any machine of the same kind.
    """
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
