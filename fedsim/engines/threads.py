"""How many threads torch may use while fedsim computes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run a block with so many torch threads, and leave the caller's setting as it was.

    One is the default: two threads beside a busy neighbour have run six times slower than one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
