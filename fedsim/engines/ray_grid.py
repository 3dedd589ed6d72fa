"""Participants on a Ray cluster."""

from contextlib import AbstractContextManager

from fedsim.engine_settings import RayEngine
from fedsim.engines.opening import NewGrid
from fedsim.errors import FedsimError


def on_cluster(engine: RayEngine) -> AbstractContextManager[NewGrid]:
    """Give what opens a grid on the cluster that `engine` names."""
    raise FedsimError("the ray engine is not there yet")
