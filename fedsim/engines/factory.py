"""Opening the grids of an engine; the class of the engine's settings names the function for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from fedsim import plugins
from fedsim.config.engine import GROUP, Engine, LocalEngine, RayEngine
from fedsim.engines.base import NewGrid
from fedsim.engines.multiprocess import local_grid
from fedsim.errors import PluginError


@contextmanager
def open_engine(engine: Engine) -> Iterator[NewGrid]:
    """Yield the function that opens a grid for a federation; the engine stops with the context.

    Parameters
    ----------
    engine
        The engine's settings.

    Raises
    ------
    FedsimError
        If the engine is not available here; the sentence says why.
    """
    if ":" not in engine.opener:
        raise PluginError(
            f"engine {engine.name!r} does not say which function opens it; its class must set "
            "opener to module:function"
        )
    open_engine = plugins.resolve(GROUP, engine.opener)
    with open_engine(engine) as new_grid:
        yield new_grid


@contextmanager
def open_local(engine: LocalEngine) -> Iterator[NewGrid]:
    """Yield grids whose participants run in this process, or in `engine.workers` processes."""
    apart = engine.timeout is not None
    yield partial(local_grid, workers=engine.workers, threads=engine.threads, apart=apart)


@contextmanager
def open_ray(engine: RayEngine) -> Iterator[NewGrid]:
    """Yield grids whose participants run in processes of a Ray cluster."""
    from fedsim.engines.ray.engine import open_ray_grids

    with open_ray_grids(engine) as new_grid:
        yield new_grid
