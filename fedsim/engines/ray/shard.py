"""A share of the participants on a Ray cluster, and the parameters that are sent to it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fedsim.engines.ray.cluster import Handle
from fedsim.engines.ray.serialization import MessageBatch, Payload, key_of, pack_object


@dataclass
class StoreTraffic:
    """What went through the object store so far.

    Attributes
    ----------
    puts, sent_bytes
        Sets of parameters that were put there for the participants, and their bytes.
    received_bytes
        Bytes of the replies, with what was kept beside them.
    """

    puts: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class Put(NamedTuple):
    """Parameters in the object store: their number in the life of a grid, and Ray's reference."""

    number: int
    reference: Any


class StoredParameters:
    """Parameters in the object store: each set once a round, and no longer than it is wanted."""

    def __init__(self, traffic: StoreTraffic) -> None:
        self._traffic = traffic
        self._shared: frozenset[tuple[object, ...]] = frozenset()
        self._there: dict[tuple[object, ...], tuple[tuple[Array, ...], Put]] = {}

    def expect(self, messages: Iterable[Message]) -> None:
        """Take note of a round's messages: what several of them carry stays in the store.

        What the round before has put there is used again; a strategy evaluates the parameters that
        it then trains on.
        """
        contents = {id(message.content): message.content for message in messages}
        carriers = Counter(id(message.content) for message in messages)
        counts: Counter[tuple[object, ...]] = Counter()
        for name, content in contents.items():
            for record in content.values():
                if isinstance(record, ArrayRecord):
                    counts[key_of(record)] += carriers[name]
        self._shared = frozenset(key for key, count in counts.items() if count > 1)
        self._there = {key: one for key, one in self._there.items() if key in self._shared}

    def put(self, record: ArrayRecord) -> Put:
        """Return where parameters are in the store, put there if they are not yet."""
        key = key_of(record)
        if key in self._there:
            return self._there[key][1]
        payload = pack_object(record)
        put = Put(self._traffic.puts, ray.put(payload))
        self._traffic.puts += 1
        self._traffic.sent_bytes += payload.size
        if key in self._shared:
            self._there[key] = tuple(record.values()), put  # the key holds while they live
        return put


@dataclass(eq=False)
class Shard:
    """Some of the participants: which process runs them, and how to go on without that process.

    Attributes
    ----------
    number
        Which share it is.
    host
        The process.
    states
        What its nodes kept when this was last asked; a node that kept nothing may be missing.
    since
        The batches that were run since then, in their order.
    marked
        How many of those had been run when `keep` was called last.
    mark
        What `keep` was called with.
    """

    number: int
    host: Handle
    states: dict[int, RecordDict] = field(default_factory=dict)
    since: list[MessageBatch] = field(default_factory=list)
    marked: int = 0
    mark: int = 0

    def begin(self, states: Mapping[int, RecordDict]) -> Any:
        """Let the process begin with these states, and return Ray's reference of its being done."""
        self.states, self.since, self.marked = dict(states), [], 0
        return self.host.restore.remote(self.number, pack_object(self.states))

    def run(self, batch: MessageBatch, contents: StoredParameters) -> Any:
        """Let the process run a batch, and return Ray's reference of what comes of it."""
        puts = [contents.put(record) for record in batch.records]
        numbers = [put.number for put in puts]
        return self.host.run.remote(self.number, batch.head, numbers, *(p.reference for p in puts))

    def keep(self, mark: int) -> None:
        """Let the process keep the states as they are now, under a number that grows."""
        self.marked, self.mark = len(self.since), mark
        self.host.keep.remote(self.number, mark)

    def fetch(self) -> Any:
        """Return Ray's reference of those of the states that it keeps which have changed."""
        return self.host.fetch.remote(self.number, self.mark)

    def fetched(self, news: Mapping[int, RecordDict]) -> None:
        """Take what was fetched; what led there is not run again any more."""
        self.states |= news
        self.since, self.marked = self.since[self.marked :], 0

    def resume(self, contents: StoredParameters) -> None:
        """Bring another process to where the one before it was.

        Raises
        ------
        RayError
            If that process ends, too.
        """
        ray.get(self.host.restore.remote(self.number, pack_object(self.states)))
        self._run_again(self.since[: self.marked], contents)
        self.host.keep.remote(self.number, self.mark)
        self._run_again(self.since[self.marked :], contents)

    def _run_again(self, batches: Sequence[MessageBatch], contents: StoredParameters) -> None:
        for batch in batches:
            done: Payload = ray.get(self.run(batch, contents))
            del done  # the replies were given on before
