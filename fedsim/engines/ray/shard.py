"""A share of the participants on a Ray cluster, and the parameters that are sent to it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fedsim.engines.ray.cluster import Handle
from fedsim.engines.ray.serialization import MessageBatch, Payload, pack_object, parameters_key


@dataclass
class StoreTraffic:
    """The total traffic through the object store so far.

    Attributes
    ----------
    puts, sent_bytes
        The number of sets of parameters put there for the participants, and their size in bytes.
    received_bytes
        The size of the replies and of the snapshots beside them, in bytes.
    """

    puts: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class Put(NamedTuple):
    """Parameters in the object store: their number, unique in a grid, and Ray's reference."""

    number: int
    reference: Any


class StoredParameters:
    """Parameters in the object store: each set once a round, and only as long as it is needed."""

    def __init__(self, traffic: StoreTraffic) -> None:
        self._traffic = traffic
        self._shared: frozenset[tuple[object, ...]] = frozenset()
        self._there: dict[tuple[object, ...], tuple[tuple[Array, ...], Put]] = {}

    def expect(self, messages: Iterable[Message]) -> None:
        """Take note of a round's messages: parameters in several of them stay in the store.

        Parameters that the previous call put there are reused, because a strategy evaluates the
        parameters from which it then trains.
        """
        contents = {id(message.content): message.content for message in messages}
        carriers = Counter(id(message.content) for message in messages)
        counts: Counter[tuple[object, ...]] = Counter()
        for name, content in contents.items():
            for record in content.values():
                if isinstance(record, ArrayRecord):
                    counts[parameters_key(record)] += carriers[name]
        self._shared = frozenset(key for key, count in counts.items() if count > 1)
        self._there = {key: one for key, one in self._there.items() if key in self._shared}

    def put(self, record: ArrayRecord) -> Put:
        """Return the place of parameters in the store, and put them there if necessary."""
        key = parameters_key(record)
        if key in self._there:
            return self._there[key][1]
        payload = pack_object(record)
        put = Put(self._traffic.puts, ray.put(payload))
        self._traffic.puts += 1
        self._traffic.sent_bytes += payload.size
        if key in self._shared:
            self._there[key] = tuple(record.values()), put  # the key is valid while they exist
        return put


@dataclass(eq=False)
class Shard:
    """A share of the participants: its process, and all that another process needs to take over.

    Attributes
    ----------
    number
        The number of the share.
    host
        The process that runs the share.
    states
        The states of its nodes when they were last fetched; a node without a state may be missing.
    since
        The batches that were run since then, in order.
    marked
        The number of these batches that had been run when `keep` was last called.
    mark
        The argument of the last call of `keep`.
    """

    number: int
    host: Handle
    states: dict[int, RecordDict] = field(default_factory=dict)
    since: list[MessageBatch] = field(default_factory=list)
    marked: int = 0
    mark: int = 0

    def begin(self, states: Mapping[int, RecordDict]) -> Any:
        """Send the process its initial states, and return Ray's reference of the call."""
        self.states, self.since, self.marked = dict(states), [], 0
        return self.host.restore.remote(self.number, pack_object(self.states))

    def run(self, batch: MessageBatch, contents: StoredParameters) -> Any:
        """Send the process a batch, and return Ray's reference of the result."""
        puts = [contents.put(record) for record in batch.records]
        numbers = [put.number for put in puts]
        return self.host.run.remote(self.number, batch.head, numbers, *(p.reference for p in puts))

    def keep(self, mark: int) -> None:
        """Have the process keep a copy of the current states, under an increasing number."""
        self.marked, self.mark = len(self.since), mark
        self.host.keep.remote(self.number, mark)

    def fetch(self) -> Any:
        """Return Ray's reference of the kept states that have changed since the last fetch."""
        return self.host.fetch.remote(self.number, self.mark)

    def fetched(self, news: Mapping[int, RecordDict]) -> None:
        """Store the fetched states, and drop the batches that led to them."""
        self.states |= news
        self.since, self.marked = self.since[self.marked :], 0

    def resume(self, contents: StoredParameters) -> None:
        """Restore the share's states in a new process, and repeat the batches since then.

        Raises
        ------
        RayError
            If this process ends, too.
        """
        ray.get(self.host.restore.remote(self.number, pack_object(self.states)))
        self._run_again(self.since[: self.marked], contents)
        self.host.keep.remote(self.number, self.mark)
        self._run_again(self.since[self.marked :], contents)

    def _run_again(self, batches: Sequence[MessageBatch], contents: StoredParameters) -> None:
        for batch in batches:
            done: Payload = ray.get(self.run(batch, contents))
            del done  # these replies were passed on before the loss
