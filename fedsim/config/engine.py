"""Which engine runs the participants, and its settings.

Engines agree bit for bit, so what stands here decides how fast a run is and where it computes, but
not what comes out; the exceptions are in `DECIDING`.
"""

import re
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    model_validator,
)

DECIDING = ("threads", "stacked")
"""The settings that decide numbers: other threads, and other products, round sums differently."""


def _host_and_port(address: str) -> str:
    if not re.fullmatch(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}", address):
        raise ValueError(
            f"engine.address is {address!r}; it must be HOST:PORT, where the head of a running Ray "
            "cluster listens (`ray start --head` prints it)"
        )
    return address


class Engine(BaseModel):
    """What all engines have in common; a bare string is an engine's name alone.

    Attributes
    ----------
    threads
        How many threads each process computes with.
    workers
        How many processes of this machine score attacks; on the local engine they run the
        participants, too.
    stacked
        Whether participants train with their parameters stacked, many at once: the same numbers but
        for the last digits. `auto` does so for ten participants and more, on every engine, where
        the model is a chain of layers that can be.
    timeout
        How many seconds a participant may take to train or to evaluate; without it, any. On the
        local engine participants then always run in processes of their own.
    restarts
        How many times in a federation lost processes are replaced, and the rounds since its last
        checkpoint are run again, before the run stops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    threads: PositiveInt = 1
    workers: PositiveInt = 1
    stacked: Literal["auto"] | bool = "auto"
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    restarts: Annotated[int, Field(ge=0)] = 3

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class LocalEngine(Engine):
    """Participants on this machine: in this process, or in so many `workers`."""

    name: Literal["local"] = "local"


class RayEngine(Engine):
    """Participants on a Ray cluster.

    Attributes
    ----------
    address
        HOST:PORT of a running cluster; without it, one is started on this machine for the run.
    actors
        How many processes of the cluster run the participants; without it, as many as it has room
        for.
    cpus, gpus
        What each of them takes of the cluster; fractions share a core or a device.
    in_flight
        How many messages an actor is given before its first reply is back.
    """

    name: Literal["ray"] = "ray"
    address: Annotated[str, AfterValidator(_host_and_port)] | None = None
    actors: PositiveInt | None = None
    cpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    in_flight: PositiveInt = 16


ENGINES: dict[str, type[Engine]] = {
    get_args(kind.model_fields["name"].annotation)[0]: kind for kind in (LocalEngine, RayEngine)
}
"""The settings of each engine, by the engine's name."""


def _branch(value: object) -> str | None:
    name = value.get("name", "local") if isinstance(value, dict) else getattr(value, "name", value)
    return f"({name})" if name in ENGINES else None


AnyEngine = Annotated[
    Annotated[LocalEngine, Tag("(local)")] | Annotated[RayEngine, Tag("(ray)")],
    Discriminator(
        _branch,
        custom_error_type="unknown_engine",
        custom_error_message=f"it must be or have a name of: {', '.join(sorted(ENGINES))}",
    ),
]
"""One of the engines; its name says which, and without one it is the local one."""
