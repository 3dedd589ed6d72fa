"""A process of a Ray cluster that runs participants: what is executed there.

Participants run in one thread, and what is asked about them is answered by another, so that a host
always answers: after a Ctrl-C the states are wanted while participants still train. They run as
`LocalGrid` runs them, and every random draw comes from the seed, so the numbers are those of one
process, bit for bit.
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
from fedsim.engines.processes import portable
from fedsim.engines.ray.app_serialization import unpacked_app
from fedsim.engines.ray.serialization import (
    KeptArrays,
    Payload,
    Ran,
    messages_of,
    pack_object,
    unpack_object,
)
from fedsim.engines.threads import limit_threads
from fedsim.errors import FedsimError

CONCURRENCY = {"computing": 1, "answering": 1}
"""The threads of a host, by what they do."""
_DECIDING = ("fedsim", "flwr", "numpy", "torch")


def versions() -> dict[str, str]:
    """Return the versions here of what decides the numbers."""
    return {"python": python_version(), **{name: metadata.version(name) for name in _DECIDING}}


@dataclass
class _HostedShard:
    """Some of the participants, and what is kept to be asked for."""

    grid: LocalGrid
    kept: Mapping[int, RecordDict] = field(default_factory=dict)
    mark: int = 0
    ran: set[int] = field(default_factory=set)  # since `kept`
    news: set[int] = field(default_factory=set)  # in `kept`, since it was fetched


class RayActor:
    """A process that runs one share of the participants, or several where others were lost."""

    def __init__(self) -> None:
        self._shares: dict[int, _HostedShard] = {}
        self._received: dict[int, ArrayRecord] = {}
        self._keeping = Condition()
        self._snapshots: list[KeptArrays] = []

    @ray.method(concurrency_group="computing")
    def load_app(
        self, app: Payload, participants: int, threads: int, paths: Sequence[str]
    ) -> dict[str, str] | str:
        """Take the app of a federation, and forget the one before it.

        Parameters
        ----------
        app, participants
            The app, and how many participants there are in all.
        threads
            How many threads participants compute with.
        paths
            Where the driver finds modules. Those that are here, too, are searched last, so that
            ``module:attribute`` finds a user's own files where the disk is shared.

        Returns
        -------
        The versions of what decides the numbers, or why the app is not available here.
        """
        limit_threads(threads)
        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            self._app = unpacked_app(app, self._snapshots)
        except Exception as error:  # a third party's module may raise anything while it is imported
            return f"{type(error).__name__}: {error}"
        self._participants = participants
        self._shares.clear()
        self._received.clear()
        return versions()

    @ray.method(concurrency_group="computing")
    def restore(self, share: int, states: Payload) -> None:
        """Take the states of a share's nodes; a share that is new here begins with it."""
        grid = LocalGrid(self._app, self._participants)
        grid.restore(unpack_object(states))
        self._shares[share] = _HostedShard(grid)

    @ray.method(concurrency_group="computing")
    def run(self, share: int, head: bytes, numbers: Sequence[int], *records: Payload) -> Payload:
        """Run a batch of messages as `LocalGrid` does, and return a `Ran`.

        `numbers` are those of the records in the life of a grid; what the batch before it had, too,
        is unpacked once.
        """
        here = self._shares[share]
        arrived = zip(numbers, records, strict=True)
        self._received = {n: self._received.get(n) or unpack_object(one) for n, one in arrived}
        messages = messages_of(head, list(self._received.values()))
        here.ran.update(message.metadata.dst_node_id for message in messages)
        self._snapshots.clear()
        answer: list[Message] | Exception
        try:
            with local_identity():
                answer = here.grid.send_and_receive(messages)
        except FedsimError as error:
            answer = portable(error)
        return pack_object(Ran(answer, self._snapshots))

    @ray.method(concurrency_group="computing")
    def keep(self, share: int, mark: int) -> None:
        """Keep a share's states as they are now, between two rounds, under a number that grows.

        Calls of one thread are executed in their order, so this comes before the next round.
        """
        here = self._shares[share]
        with self._keeping:
            here.kept, here.mark = here.grid.states(), mark
            here.news |= here.ran
            here.ran.clear()
            self._keeping.notify_all()

    @ray.method(concurrency_group="answering")
    def fetch(self, share: int, mark: int) -> Payload:
        """Return those of the states kept under a number which were not fetched or restored yet."""
        here = self._shares[share]
        with self._keeping:
            self._keeping.wait_for(lambda: here.mark >= mark)
        news = {node: here.kept[node] for node in sorted(here.news) if node in here.kept}
        here.news.clear()
        return pack_object(news)
