"""The processes on a Ray cluster that run participants."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from flwr.clientapp import ClientApp
from ray.exceptions import ObjectLostError, RayActorError

from fedsim.config.engine import RayEngine
from fedsim.engines.ray.actor import CONCURRENCY, RayActor, package_versions
from fedsim.engines.ray.app_serialization import pack_app
from fedsim.engines.ray.connection import free_actor_slots, ray_connection
from fedsim.errors import FedsimError
from fedsim.observation.snapshots import SnapshotStore

SECONDS_TO_START = 120.0
LOST = (RayActorError, ObjectLostError)
"""The errors that Ray raises when a process, or its node, has ended."""

Handle = Any  # Ray's handle of an actor; it has no type of its own


class RayActors:
    """The processes of a cluster that run participants, reused by consecutive federations."""

    def __init__(self, engine: RayEngine) -> None:
        self._engine = engine
        self._alive: list[Handle] = []
        self._loading: tuple[Any, int] | None = None

    def load_app(
        self, app: ClientApp, participants: int
    ) -> tuple[list[Handle], tuple[SnapshotStore, ...]]:
        """Load an app on all processes, which are started if necessary.

        Returns
        -------
        The processes, at most one for each participant, and the stores in which the app's
        adversaries keep snapshots, by number.

        Raises
        ------
        FedsimError
            If the cluster lacks resources, or its processes cannot run the app.
        """
        payload, stores = pack_app(app)
        self._loading = ray.put(payload), participants
        wanted = self._wanted(participants)
        self._alive = self._loaded_by(self._alive[:wanted])
        self._start(wanted - len(self._alive))
        return list(self._alive), stores

    def instead_of(self, lost: Handle, busy: Sequence[Handle]) -> Handle:
        """Return a replacement for a lost process: a new one, or the one with the fewest shares.

        Parameters
        ----------
        lost
            The lost process, which is killed if it still runs.
        busy
            The process of each share, with repetitions.

        Raises
        ------
        FedsimError
            If no process is left, and none can be started.
        """
        self.give_up(lost)
        if free_actor_slots(self._engine.cpus, self._engine.gpus) > len(self._alive):
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
        """Kill a process that is lost, or whose work is no longer needed."""
        ray.kill(host)
        self._alive = [other for other in self._alive if other is not host]

    def end(self) -> None:
        """End all processes."""
        for host in self._alive:
            ray.kill(host)
        self._alive.clear()

    def _wanted(self, participants: int) -> int:
        engine = self._engine
        there_is = free_actor_slots(engine.cpus, engine.gpus)
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
        """Load the app on processes, and return those that answer."""
        assert self._loading is not None  # noqa: S101 - the public methods begin with it
        app, participants = self._loading
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
def start_actors(engine: RayEngine) -> Iterator[RayActors]:
    """Yield the processes on an engine's cluster; they end with the context."""
    with ray_connection(engine.address):
        hosts = RayActors(engine)
        try:
            yield hosts
        finally:
            hosts.end()


def _require_same(answer: dict[str, str] | str) -> None:
    """Raise unless a process has loaded the app and has this machine's package versions."""
    if isinstance(answer, str):
        raise FedsimError(
            f"a process of the Ray cluster cannot load the participants' app ({answer}); install "
            "what it imports on every node, or share the folder that it is in"
        )
    here = package_versions()
    other = [
        f"{name} {answer[name]}, not {here[name]}" for name in here if answer[name] != here[name]
    ]
    if other:
        raise FedsimError(
            f"a process of the Ray cluster has {'; '.join(other)}; numbers are the same only where "
            "all nodes have the same versions"
        )
