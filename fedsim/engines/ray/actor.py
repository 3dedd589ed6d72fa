"""The Ray actor: a process of a Ray cluster that runs participants.

Participants run in one thread, and another thread answers requests, so that an actor always
answers: after a Ctrl-C the driver asks for the states while participants still train. Participants
run as `LocalGrid` runs them, and every random draw comes from the seed, so all figures are equal,
bit for bit, to those of a single process.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from platform import python_version
from threading import Condition

import ray
from flwr.app import ArrayRecord, Message, RecordDict

from fedsim.engines.flower_identity import local_identity
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.processes import sendable_error
from fedsim.engines.ray.app_serialization import unpack_app
from fedsim.engines.ray.serialization import (
    BatchResult,
    KeptSnapshot,
    Payload,
    pack_object,
    unpack_messages,
    unpack_object,
)
from fedsim.engines.threads import limit_threads
from fedsim.errors import FedsimError

CONCURRENCY = {"computing": 1, "answering": 1}
"""The threads of an actor, by concurrency group."""
_DECIDING = ("fedsim", "flwr", "numpy", "torch")


def package_versions() -> dict[str, str]:
    """Return the versions in this process of the packages that determine figures."""
    return {"python": python_version(), **{name: metadata.version(name) for name in _DECIDING}}


@dataclass
class _HostedShard:
    """A share of the participants, with the states that the driver may ask for."""

    grid: LocalGrid
    kept: Mapping[int, RecordDict] = field(default_factory=dict)
    mark: int = 0
    ran: set[int] = field(default_factory=set)  # since `kept`
    news: set[int] = field(default_factory=set)  # in `kept`, since it was fetched


class RayActor:
    """Runs a share of the participants, or several shares after other actors were lost."""

    def __init__(self) -> None:
        self._shares: dict[int, _HostedShard] = {}
        self._received: dict[int, ArrayRecord] = {}
        self._keeping = Condition()
        self._snapshots: list[KeptSnapshot] = []

    @ray.method(concurrency_group="computing")
    def load_app(
        self, app: Payload, participants: int, threads: int, paths: Sequence[str]
    ) -> dict[str, str] | str:
        """Load the app of a federation in place of the previous one.

        Parameters
        ----------
        app, participants
            The app, and the number of participants of the whole federation.
        threads
            The number of computing threads.
        paths
            The driver's module search path. Folders that exist here are searched last, so that
            ``module:attribute`` finds a user's own files if the disk is shared.

        Returns
        -------
        The versions of the packages that determine figures, or why the app cannot be loaded here.
        """
        limit_threads(threads)
        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            self._app = unpack_app(app, self._snapshots)
        except Exception as error:  # importing a third party's module may raise anything
            return f"{type(error).__name__}: {error}"
        self._participants = participants
        self._shares.clear()
        self._received.clear()
        return package_versions()

    @ray.method(concurrency_group="computing")
    def restore(self, share: int, states: Payload) -> None:
        """Restore the states of a share's nodes; a share that is new here is created."""
        grid = LocalGrid(self._app, self._participants)
        grid.restore(unpack_object(states))
        self._shares[share] = _HostedShard(grid)

    @ray.method(concurrency_group="computing")
    def run(self, share: int, head: bytes, numbers: Sequence[int], *records: Payload) -> Payload:
        """Process a batch of messages as `LocalGrid` does, and return a `BatchResult`.

        `numbers` identify the records during the life of a grid; a record that the previous batch
        had, too, is not unpacked again.
        """
        here = self._shares[share]
        arrived = zip(numbers, records, strict=True)
        self._received = {n: self._received.get(n) or unpack_object(one) for n, one in arrived}
        messages = unpack_messages(head, list(self._received.values()))
        here.ran.update(message.metadata.dst_node_id for message in messages)
        self._snapshots.clear()
        answer: list[Message] | Exception
        try:
            with local_identity():
                answer = here.grid.send_and_receive(messages)
        except FedsimError as error:
            answer = sendable_error(error)
        return pack_object(BatchResult(answer, self._snapshots))

    @ray.method(concurrency_group="computing")
    def keep(self, share: int, mark: int) -> None:
        """Keep a copy of a share's current states, between two rounds, under an increasing number.

        Calls of one thread are executed in order, so this call precedes the next round.
        """
        here = self._shares[share]
        with self._keeping:
            here.kept, here.mark = here.grid.states(), mark
            here.news |= here.ran
            here.ran.clear()
            self._keeping.notify_all()

    @ray.method(concurrency_group="answering")
    def fetch(self, share: int, mark: int) -> Payload:
        """Return the states kept under a number, except those fetched or restored before."""
        here = self._shares[share]
        with self._keeping:
            self._keeping.wait_for(lambda: here.mark >= mark)
        news = {node: here.kept[node] for node in sorted(here.news) if node in here.kept}
        here.news.clear()
        return pack_object(news)
