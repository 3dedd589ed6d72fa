"""Every random draw comes from a path, never from shared state.

A path names the draw: ``generator(seed, "batches", round, participant)``. Two draws with different
paths are independent, and the result of one cannot depend on who ran before it, in which process,
or on how many workers. This is what makes engines agree and resumed runs equal uninterrupted ones.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fedsim.devices import CPU, seed_draws

PathPart = str | int


def derive(seed: int, *path: PathPart) -> int:
    """Return a 63-bit seed for the draw named by `path`.

    Parameters
    ----------
    seed
        The experiment's one seed.
    path
        Names and numbers that say which draw this is. ``1`` and ``"1"`` are different parts.
    """
    plain = (part if isinstance(part, str) else int(part) for part in path)  # numpy's ints too
    text = repr((int(seed), *plain)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, *path: PathPart) -> np.random.Generator:
    """Return numpy's generator for the draw named by `path`."""
    return np.random.default_rng(derive(seed, *path))


def torch_generator(seed: int, *path: PathPart) -> torch.Generator:
    """Return a torch CPU generator for the draw named by `path`."""
    return torch.Generator().manual_seed(derive(seed, *path))


@contextmanager
def global_draws(seed: int, *path: PathPart, device: torch.device = CPU) -> Iterator[None]:
    """Seed the generators of `random`, numpy and torch within the context, then restore them.

    For code that is not ours and draws from global state: a third party's model factory, dropout
    inside a model, the node sampling of Flower's strategies. The generator of a `device` other than
    the CPU is seeded, too; it is not restored, as nothing draws from it unseeded.
    """
    value = derive(seed, *path)
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(value)
        np.random.seed(value % 2**32)  # noqa: NPY002
        # torch.manual_seed would keep a note, with a traceback, for every kind of device there is.
        torch.default_generator.manual_seed(value)
        seed_draws(device, value)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


class OwnDraws:
    """The global generators as one of several computations sees them that take turns.

    What one of them drew, or seeded with `global_draws` and has not restored yet, another neither
    sees nor changes.
    """

    def __init__(self) -> None:
        self._state = _global_state()

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Have the generators as they were left within the last such block."""
        outside = _global_state()
        _set_global_state(self._state)
        try:
            yield
        finally:
            self._state = _global_state()
            _set_global_state(outside)


def _global_state() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set_global_state(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])
