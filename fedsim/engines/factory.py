"""From an engine's settings to grids: the one place that knows which engine makes which."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from flwr.clientapp import ClientApp

from fedsim.config.engine import Engine, LocalEngine, RayEngine
from fedsim.engines.base import NodesGrid
from fedsim.engines.multiprocess import local_grid

NewGrid = Callable[[ClientApp, int], AbstractContextManager[NodesGrid]]
"""Opens a grid over the participants of an app, fedsim's or anybody's; the number is how many."""


@contextmanager
def opened(engine: Engine) -> Iterator[NewGrid]:
    """Give what opens a grid for each federation; what the engine started ends with the block.

    Parameters
    ----------
    engine
        Which engine, and its settings.

    Raises
    ------
    FedsimError
        If the engine cannot be had here; the sentence says why.
    """
    with _OPENED_BY[type(engine)](engine) as new_grid:
        yield new_grid


@contextmanager
def _local(engine: LocalEngine) -> Iterator[NewGrid]:
    apart = engine.timeout is not None
    yield partial(local_grid, workers=engine.workers, threads=engine.threads, apart=apart)


@contextmanager
def _ray(engine: RayEngine) -> Iterator[NewGrid]:
    from fedsim.engines.ray.grid import on_cluster  # here: Ray takes a second to import

    with on_cluster(engine) as new_grid:
        yield new_grid


_OPENED_BY: dict[type[Engine], Callable[[Any], AbstractContextManager[NewGrid]]]
_OPENED_BY = {LocalEngine: _local, RayEngine: _ray}
