"""Dispatch of messages to the processes of a cluster, a few at a time."""

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import Message

from fedsim.engines.ray.cluster import Handle
from fedsim.engines.ray.serialization import MessageBatch, batch_of
from fedsim.engines.ray.shard import Shard, StoredParameters

CALLS = 2  # a process has another one waiting when it ends one, so it never waits for the driver
SECONDS_OF_A_CALL = 0.1  # of training, at least, where that is known: a call costs some 3 ms


@dataclass(frozen=True)
class DispatchedBatch:
    """A batch that a process was given; the numbers of its messages, and the nodes they go to."""

    share: Shard
    batch: MessageBatch
    numbers: tuple[int, ...]
    nodes: tuple[int, ...]


class DispatchWindow:
    """All messages of a call of the grid: what waits for its process, and what is with it.

    Parameters
    ----------
    asked
        The messages.
    waiting
        The numbers of those of each share, in their order.
    in_flight
        How many a process is given before its first reply is back.
    timeout
        How many seconds a process may take for a participant.
    seconds_each
        How many it took for one in an earlier turn like this; 0 if that is not known.

    Attributes
    ----------
    calls
        What is under way, by Ray's references.
    """

    def __init__(
        self,
        asked: Sequence[Message],
        waiting: Mapping[Shard, Iterable[int]],
        in_flight: int,
        timeout: float | None,
        seconds_each: float = 0.0,
    ) -> None:
        self.calls: dict[Any, DispatchedBatch] = {}
        self._asked = asked
        self._waiting = {share: deque(numbers) for share, numbers in waiting.items()}
        self._calls_each = min(CALLS, in_flight)
        # A timeout is of one participant, so each is sent alone.
        self._most_at_once = 1 if timeout else in_flight // self._calls_each
        self._worth_a_call = math.ceil(SECONDS_OF_A_CALL / seconds_each) if seconds_each else 1
        self._patience = timeout or math.inf
        self._until: dict[Handle, float] = {}
        self._hung: set[Shard] = set()

    @property
    def unfinished(self) -> set[Shard]:
        """The shares whose process still runs something."""
        return {call.share for call in self.calls.values()} | self._hung

    def go_on(self, contents: StoredParameters) -> bool:
        """Give each process what it may be given; return whether there is anything to wait for."""
        under_way = Counter(call.share for call in self.calls.values())
        for share, numbers in self._waiting.items():
            for _ in range(self._calls_each - under_way[share]):
                if numbers:
                    self._give(share, numbers, contents)
        return bool(self.calls)

    def ready(self) -> list[Any]:
        """Wait for a process, and return the references of what has come back; perhaps of nothing.

        A process that was waited for too long is not waited for any more.
        """
        left = min(self._until.values()) - time.monotonic()
        found, _ = ray.wait(
            list(self.calls), num_returns=1, timeout=max(0.0, left) if left < math.inf else None
        )
        if not found:
            now = time.monotonic()
            late = {c.share for c in self.calls.values() if self._until[c.share.host] <= now}
            for share in late:
                self.take_back(share)
                self._waiting[share].clear()
            self._hung |= late
        return list(found)

    def done(self, reference: Any) -> None:
        """Take note of a call whose replies are taken."""
        host = self.calls.pop(reference).share.host
        self._until.pop(host, None)
        if any(call.share.host == host for call in self.calls.values()):
            self._until[host] = time.monotonic() + self._patience

    def take_back(self, share: Shard) -> None:
        """Let what a share's process was given wait again: it has not run it, or will not."""
        for reference in [r for r, call in self.calls.items() if call.share is share][::-1]:
            self._waiting[share].extendleft(reversed(self.calls.pop(reference).numbers))
        if all(call.share.host != share.host for call in self.calls.values()):
            self._until.pop(share.host, None)

    def _give(self, share: Shard, numbers: deque[int], contents: StoredParameters) -> None:
        # Half of what waits: replies are taken while others train, and there are few at the end.
        half = math.ceil(len(numbers) / self._calls_each)
        at_once = min(max(half, self._worth_a_call), self._most_at_once, len(numbers))
        chosen = tuple(numbers.popleft() for _ in range(at_once))
        messages = [self._asked[number] for number in chosen]
        batch = batch_of(messages)
        nodes = tuple(message.metadata.dst_node_id for message in messages)
        self._until.setdefault(share.host, time.monotonic() + self._patience)
        self.calls[share.run(batch, contents)] = DispatchedBatch(share, batch, chosen, nodes)
