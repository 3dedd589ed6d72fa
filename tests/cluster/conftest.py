"""A Ray cluster for a module's tests: started once, as it takes seconds."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from fedsim.config.engine import RayEngine
from fedsim.engines.base import NewGrid
from fedsim.engines.factory import open_engine
from fedsim.engines.ray.connection import ray_connection
from fedsim.stages import simulate

ENGINE = RayEngine(actors=2, cpus=0.1, restarts=1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Be connected to a cluster of this machine; whatever the tests open uses it."""
    with ray_connection(None):
        yield


@pytest.fixture(scope="module")
def new_grid(cluster: None) -> Iterator[NewGrid]:
    """Open grids on the same two processes, one after the other."""
    with open_engine(ENGINE) as opener:
        yield opener


@pytest.fixture
def _same_processes(new_grid: NewGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whole simulations use those processes, too: each takes seconds to start."""
    monkeypatch.setattr(
        simulate,
        "open_engine",
        lambda engine: (
            nullcontext(new_grid) if isinstance(engine, RayEngine) else open_engine(engine)
        ),
    )
