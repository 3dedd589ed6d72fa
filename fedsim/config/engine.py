"""Which engine runs the participants, and its settings.

An engine is a plugin of the group ``engines``: a class of settings that derives from `Engine`, and
says which function opens it.

Engines agree bit for bit, so what stands here decides how fast a run is and where it computes, but
not what comes out; the exceptions are in `DECIDING`.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fedsim import plugins
from fedsim.config.faults import FaultsError, faults_in
from fedsim.errors import PluginError, listed

GROUP = "engines"
SECTION = "engine"

DECIDING = ("threads", "stacked", "small_convolutions", "channels_last")
"""The settings that decide numbers: other threads, and other products, round sums differently."""


DEVICE = r"auto|cpu|[a-z][a-z_]*(:\d{1,3})?"


def _device_name(name: str) -> str:
    if not re.fullmatch(DEVICE, name) or name.startswith(("cpu:", "auto:")):
        raise PydanticCustomError(
            "device", "it must be auto, cpu, cuda, cuda:N, mps, or another device of PyTorch"
        )
    return name


def _host_and_port(address: str) -> str:
    if not re.fullmatch(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}", address):
        raise ValueError(
            f"engine.address is {address!r}; it must be HOST:PORT, where the head of a running Ray "
            "cluster listens (`ray start --head` prints it)"
        )
    return address


def _whole_or_fraction(taken: float) -> float:
    """Return what a process takes of a cluster, if Ray can count it."""
    if 0 < taken < LEAST_SHARE or (taken > 1 and taken != int(taken)):
        raise PydanticCustomError(
            "ray_share",
            f"it must be 0, a fraction from {LEAST_SHARE} to 1, or a whole number, as Ray counts",
        )
    return taken


def _layer_names(given: object) -> object:
    """Return names of layers as a tuple, or ``auto``."""
    if given == "auto":
        return given
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise PydanticCustomError("layer_names", "it must be auto, or a list of names of layers")
    return tuple(given)


LayerChoice = Annotated[Literal["auto"] | tuple[str, ...], BeforeValidator(_layer_names)]
MOST_THREADS = 1_024
MOST_PROCESSES = 100_000
LONGEST_TIMEOUT = 366 * 86_400.0
LEAST_SHARE = 0.0001

Processes = Annotated[int, Field(gt=0, le=MOST_PROCESSES)]
Share = Annotated[
    float, Field(ge=0, le=MOST_PROCESSES, allow_inf_nan=False), AfterValidator(_whole_or_fraction)
]


class Engine(BaseModel):
    """What all engines have in common; a bare string is an engine's name alone.

    Attributes
    ----------
    device
        Where models train and are evaluated, features are extracted and attack networks train:
        `cpu`, `cuda`, `cuda:1`, `mps`, or another device that PyTorch knows. `auto` is a CUDA
        device where there is one (on Ray, where its processes take `gpus`), and the CPU elsewhere.
        Figures of two devices agree to a few digits; a run may go on on another one.
    threads
        How many threads each process computes with.
    workers
        How many processes of this machine score attacks; on the local engine they run the
        participants, too. One, where `device` is not the CPU.
    stacked
        Whether participants train with their parameters stacked, many at once: the same numbers but
        for the last digits. `auto` does so for ten participants and more, on every engine, where
        the model is a chain of layers that can be.
    stacked_shadows
        Whether the participants of all shadow federations train in common stacks, federations side
        by side in `workers` processes: the same numbers but for the last digits. `auto` does so on
        the local engine where the training can be stacked and the network is small enough for it.
    small_convolutions
        Layers (Conv2d) that are computed by products of rows instead of PyTorch's convolution,
        which is quicker on maps of a few positions: the same numbers but for the last digits.
        `auto` chooses them by shapes (3 x 3 on maps of 2 x 2, 5 x 5 on 4 x 4) where the trainer is
        `sgd` in single precision; an empty list is none.
    channels_last
        Whether the channels of convolutions lie next to each other in memory: the same numbers but
        for the last digits. `auto` does so for models of narrow convolutions, as ResNets for small
        images are, under the same conditions.
    timeout
        How many seconds a participant may take to train or to evaluate; without it, any. On the
        local engine participants then always run in processes of their own.
    restarts
        How many times in a federation lost processes are replaced, and the rounds since its last
        checkpoint are run again, before the run stops.

    Notes
    -----
    A plugin derives a class of its own settings, gives `name` its own default, and says in `opener`
    (``module:function``) what opens the engine: a context manager of the settings, which gives a
    function from a Flower `ClientApp` and a number of participants to an open grid
    (`fedsim.NodesGrid`). ``fedsim new engine`` writes one.

    Examples
    --------
    >>> class Cluster(Engine):
    ...     name: str = "my-cluster"
    ...     queue: str = "short"
    ...     opener: ClassVar[str] = "my_cluster:open_cluster"
    >>> Cluster(queue="long").threads
    1
    """

    opener: ClassVar[str] = ""
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    device: Annotated[str, AfterValidator(_device_name)] = "auto"
    threads: Annotated[int, Field(gt=0, le=MOST_THREADS)] = 1
    workers: Processes = 1
    stacked: Literal["auto"] | bool = "auto"
    stacked_shadows: Literal["auto"] | bool = "auto"
    small_convolutions: LayerChoice = "auto"
    channels_last: Literal["auto"] | bool = "auto"
    timeout: Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT)] | None = None
    restarts: Annotated[int, Field(ge=0, le=MOST_PROCESSES)] = 3

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class LocalEngine(Engine):
    """Participants on this machine: in this process, or in `workers` processes."""

    name: Literal["local"] = "local"
    opener: ClassVar[str] = "fedsim.engines.factory:open_local"


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
    opener: ClassVar[str] = "fedsim.engines.factory:open_ray"
    address: Annotated[str, AfterValidator(_host_and_port)] | None = None
    actors: Processes | None = None
    cpus: Share = 1.0
    gpus: Share = 0.0
    in_flight: Processes = 16


def engine_kind(name: str) -> type[Engine]:
    """Return the class of an engine's settings.

    Raises
    ------
    PluginError
        If there is no such engine, or the plugin of that name is none.
    """
    kind = plugins.resolve(GROUP, name)
    if not (isinstance(kind, type) and issubclass(kind, Engine)):
        raise PluginError(
            f"engine {name!r} is no class of settings; a plugin of group {GROUP} must derive from "
            "fedsim.Engine"
        )
    return kind


def _engine(value: object, _: object) -> Engine:
    """Return the settings of an engine, whose name says which; without a name the local one."""
    if isinstance(value, Engine):
        return value
    name = value.get("name", "local") if isinstance(value, dict) else value
    installed = plugins.available(GROUP)
    if not isinstance(name, str) or (":" not in name and name not in installed):
        known = {"names": listed(installed)}
        raise PydanticCustomError("unknown_engine", "it must be or have a name of: {names}", known)
    try:
        kind = engine_kind(name)
    except PluginError as error:
        raise ValueError(f"engine: {error}") from error
    settings = {**value, "name": name} if isinstance(value, dict) else {"name": name}
    unknown = [key for key in settings if key not in kind.model_fields]
    if unknown:
        raise FaultsError(_faults(kind, settings, unknown))
    return kind.model_validate(settings)


def _faults(kind: type[Engine], settings: dict[str, Any], unknown: list[str]) -> Iterator[str]:
    """Yield that keys are not known, and what is wrong with the others."""
    valid = listed(kind.model_fields)
    for key in unknown:
        yield f"unknown key {f'engine.{key}'!r}; valid keys there: {valid}"
    try:
        kind.model_validate({k: v for k, v in settings.items() if k not in unknown})
    except ValidationError as error:
        for fault in faults_in(error, kind):
            yield fault if fault.startswith(f"{SECTION}.") else f"{SECTION}.{fault}"


AnyEngine = Annotated[SerializeAsAny[Engine], WrapValidator(_engine)]
"""The settings of one of the engines; its name says which, and without one it is the local one."""
