"""A Ray cluster, and the processes on it that run participants.

Where to connect is always said to Ray: left to itself it joins whatever it finds, a cluster that is
ending included, and waits for it.
"""

import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import floor, inf
from pathlib import Path
from typing import Any

import grpc
import ray
from flwr.clientapp import ClientApp
from ray.exceptions import ObjectLostError, RayActorError, RayError

from fedsim.config.engine import RayEngine
from fedsim.engines.ray.actor import CONCURRENCY, RayActor, versions
from fedsim.engines.ray.serialization import packed_app
from fedsim.errors import FedsimError
from fedsim.federation.log_filters import quiet_ray
from fedsim.observation.snapshots import SnapshotStore

SECONDS_TO_CONNECT = 3.0
SECONDS_TO_START = 120.0
STORE_BYTES = 4 * 2**30
LOST = (RayActorError, ObjectLostError)
"""What Ray raises when a process, or the node that it was on, is gone."""

Handle = Any  # Ray's handle of an actor; it has no type of its own


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster within the context.

    A program that is connected already stays so, before, in and after the block.

    Parameters
    ----------
    address
        HOST:PORT of the cluster's head; None starts a cluster on this machine, for the block.

    Raises
    ------
    FedsimError
        If there is no cluster at that address, or another than the program is connected to.
    """
    if ray.is_initialized():
        theirs = ray.get_runtime_context().gcs_address
        if address not in (None, theirs):
            raise FedsimError(
                f"this program is connected to the Ray cluster at {theirs} already; end that with "
                f"ray.shutdown() before engine.address is {address}"
            )
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        with quiet_ray():
            _connect(address)
        yield
    finally:
        with quiet_ray():
            ray.shutdown()
        # None stands for a handler that is not Python's: it cannot be put back.
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray puts its own in its place


def room(cpus: float, gpus: float) -> int:
    """Return how many processes that take so much of a node the cluster has room for, in all."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not cpus and not gpus:
        return int(sum(node.get("CPU", 0) for node in nodes))
    return sum(
        floor(min(_times(node.get("CPU", 0), cpus), _times(node.get("GPU", 0), gpus)))
        for node in nodes
    )


class RayActors:
    """The processes of a cluster that run participants, for one federation after the other."""

    def __init__(self, engine: RayEngine) -> None:
        self._engine = engine
        self._alive: list[Handle] = []
        self._seating: tuple[Any, int] | None = None

    def load_app(
        self, app: ClientApp, participants: int
    ) -> tuple[list[Handle], tuple[SnapshotStore, ...]]:
        """Give all hosts an app; start them if they are not there.

        Returns
        -------
        The hosts, no more than there are participants, and the stores that the app's adversaries
        keep snapshots in, by number.

        Raises
        ------
        FedsimError
            If the cluster has not the room, or its processes cannot run the app.
        """
        payload, stores = packed_app(app)
        self._seating = ray.put(payload), participants
        wanted = self._wanted(participants)
        self._alive = self._loaded_by(self._alive[:wanted])
        self._start(wanted - len(self._alive))
        return list(self._alive), stores

    def instead_of(self, lost: Handle, busy: Sequence[Handle]) -> Handle:
        """Return a host in the place of one that is gone: a new one, or one that has least to do.

        Parameters
        ----------
        lost
            The one that is gone. If it is not, it is ended.
        busy
            The hosts of all shares; one that has several shares is in it several times.

        Raises
        ------
        FedsimError
            If there is none left, and no room to start one.
        """
        self.give_up(lost)
        if room(self._engine.cpus, self._engine.gpus) > len(self._alive):
            self._start(1)
            return self._alive[-1]
        if not self._alive:
            raise FedsimError(
                "all processes of the Ray cluster that ran participants are gone, and it has no "
                "room for another; run the same command again when it has, it goes on where it was"
            )
        shares = Counter(busy)
        return min(self._alive, key=lambda host: shares[host])

    def give_up(self, host: Handle) -> None:
        """End a process that is gone, or that runs what is no longer waited for."""
        ray.kill(host)
        self._alive = [other for other in self._alive if other is not host]

    def end(self) -> None:
        """End all processes."""
        for host in self._alive:
            ray.kill(host)
        self._alive.clear()

    def _wanted(self, participants: int) -> int:
        engine = self._engine
        there_is = room(engine.cpus, engine.gpus)
        if there_is < (engine.actors or 1):
            raise FedsimError(
                f"the Ray cluster has no room for {engine.actors or 'even one'} of the processes "
                f"that run participants, with {engine.cpus:g} CPUs and {engine.gpus:g} GPUs each; "
                f"it has room for {there_is} (engine.actors, engine.cpus, engine.gpus)"
            )
        return min(engine.actors or there_is, participants)

    def _start(self, count: int) -> None:
        actor: Any = ray.remote  # its types know no concurrency groups
        kind = actor(concurrency_groups=CONCURRENCY)(RayActor).options(
            num_cpus=self._engine.cpus,
            num_gpus=self._engine.gpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,
        )
        new = [kind.remote() for _ in range(count)]
        self._alive += new
        if len(self._loaded_by(new)) < count:
            raise FedsimError(
                "a process of the Ray cluster ends as soon as it is to run participants; fedsim "
                "must be installed on every node, in the Python that Ray runs there"
            )

    def _loaded_by(self, hosts: Sequence[Handle]) -> list[Handle]:
        """Give hosts the app, and return those of them that are there."""
        assert self._seating is not None  # noqa: S101 - the public methods begin with it
        app, participants = self._seating
        paths = [str(Path(path).resolve()) for path in sys.path]
        asked = {
            host.load_app.remote(app, participants, self._engine.threads, paths): host
            for host in hosts
        }
        if not asked:
            return []
        _, late = ray.wait(list(asked), num_returns=len(asked), timeout=SECONDS_TO_START)
        if late:
            raise FedsimError(
                f"the Ray cluster did not start {len(late)} of {len(asked)} processes within "
                f"{SECONDS_TO_START:.0f} s; others may have taken what it has (`ray status` tells)"
            )
        there = []
        for reference, host in asked.items():
            try:
                _require_same(ray.get(reference))
            except LOST:
                continue
            there.append(host)
        return there


@contextmanager
def hosts_on(engine: RayEngine) -> Iterator[RayActors]:
    """Give the hosts on the cluster that an engine names; they end with the block."""
    with connected(engine.address):
        hosts = RayActors(engine)
        try:
            yield hosts
        finally:
            hosts.end()


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=_store_bytes(), **quiet)
        return
    try:
        _require_answer(address)
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())
        raise FedsimError(
            f"there is no Ray cluster to join at engine.address {address} ({reason}); this machine "
            "must be one of its nodes: `ray start --address=HOST:PORT`"
        ) from error


def _require_answer(address: str) -> None:
    """Raise an `OSError` unless a cluster's head answers at an address; Ray would wait for minutes.

    It has gRPC's own health service, for clients without TLS.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=SECONDS_TO_CONNECT)
        except grpc.RpcError as error:
            raise OSError(error.details()) from error


def _store_bytes() -> int:
    """Return the size of an object store on this machine; what is not used takes no memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared = Path("/dev/shm")  # noqa: S108 - where Ray puts it
    free = shutil.disk_usage(shared).free if shared.is_dir() else memory
    return int(min(STORE_BYTES, memory / 4, free * 0.9))


def _times(there_is: float, taken: float) -> float:
    return there_is / taken if taken else inf


def _require_same(answer: dict[str, str] | str) -> None:
    """Raise unless a host has the app, and this machine's versions."""
    if isinstance(answer, str):
        raise FedsimError(
            f"a process of the Ray cluster cannot load the participants' app ({answer}); install "
            "what it imports on every node, or share the folder that it is in"
        )
    here = versions()
    other = [
        f"{name} {answer[name]}, not {here[name]}" for name in here if answer[name] != here[name]
    ]
    if other:
        raise FedsimError(
            f"a process of the Ray cluster has {'; '.join(other)}; numbers are the same only where "
            "all nodes have the same versions"
        )
