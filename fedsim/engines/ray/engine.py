"""The Ray engine: opening a grid of participants for each federation."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flwr.clientapp import ClientApp

from fedsim.config.engine import RayEngine
from fedsim.engines.base import NewGrid
from fedsim.engines.ray.cluster import RayActors, start_actors
from fedsim.engines.ray.grid import RayGrid
from fedsim.engines.ray.shard import Shard


@contextmanager
def open_ray_grids(engine: RayEngine) -> Iterator[NewGrid]:
    """Yield the function that opens grids on the cluster at `engine.address`, or on a new one.

    Raises
    ------
    FedsimError
        If there is no such cluster, or it lacks resources.
    """
    with start_actors(engine) as hosts:
        yield partial(_opened, hosts, engine)


@contextmanager
def _opened(
    hosts: RayActors, engine: RayEngine, client_app: ClientApp, participants: int
) -> Iterator["RayGrid"]:
    actors, stores = hosts.load_app(client_app, participants)
    shares = [Shard(number, host) for number, host in enumerate(actors)]
    grid = RayGrid(participants, hosts, shares, stores, engine)
    try:
        yield grid
    finally:
        for host in grid.out_of_step:
            hosts.give_up(host)
