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
from fedsim.engines.ray.serialization import MessageBatch, pack_messages
from fedsim.engines.ray.shard import Shard, StoredParameters

CALLS = 2  # in flight for each process, so that a process never waits for the driver
SECONDS_OF_A_CALL = 0.1  # least training time in a call, if known: a call itself takes some 3 ms


@dataclass(frozen=True)
class DispatchedBatch:
    """A batch that was sent to a process: the indices of its messages, and their nodes."""

    share: Shard
    batch: MessageBatch
    numbers: tuple[int, ...]
    nodes: tuple[int, ...]


class DispatchWindow:
    """The messages of one call of the grid: those that wait, and those sent to processes.

    Parameters
    ----------
    asked
        The messages.
    waiting
        For each share the indices of its messages, in order.
    in_flight
        The number of messages that a process is sent before its first reply returns.
    timeout
        The time that a process may take for a participant, in seconds.
    seconds_each
        The time that a participant took in an earlier call of this kind, in seconds; 0 if unknown.

    Attributes
    ----------
    calls
        The batches in flight, by Ray's references.
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
        # The timeout holds for one participant, so each message is sent alone.
        self._most_at_once = 1 if timeout else in_flight // self._calls_each
        self._worth_a_call = math.ceil(SECONDS_OF_A_CALL / seconds_each) if seconds_each else 1
        self._patience = timeout or math.inf
        self._until: dict[Handle, float] = {}
        self._hung: set[Shard] = set()

    @property
    def unfinished(self) -> set[Shard]:
        """The shares with batches in flight."""
        return {call.share for call in self.calls.values()} | self._hung

    def go_on(self, contents: StoredParameters) -> bool:
        """Send each process as many messages as allowed; return whether batches are in flight."""
        under_way = Counter(call.share for call in self.calls.values())
        for share, numbers in self._waiting.items():
            for _ in range(self._calls_each - under_way[share]):
                if numbers:
                    self._give(share, numbers, contents)
        return bool(self.calls)

    def ready(self) -> list[Any]:
        """Wait for a process, and return the references of finished batches; there may be none.

        The batches of a process that exceeds the timeout are given up.
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
        """Remove a batch whose replies were received."""
        host = self.calls.pop(reference).share.host
        self._until.pop(host, None)
        if any(call.share.host == host for call in self.calls.values()):
            self._until[host] = time.monotonic() + self._patience

    def take_back(self, share: Shard) -> None:
        """Return a share's batches in flight to the waiting messages, as its process is lost."""
        for reference in [r for r, call in self.calls.items() if call.share is share][::-1]:
            self._waiting[share].extendleft(reversed(self.calls.pop(reference).numbers))
        if all(call.share.host != share.host for call in self.calls.values()):
            self._until.pop(share.host, None)

    def _give(self, share: Shard, numbers: deque[int], contents: StoredParameters) -> None:
        # Half of the waiting messages: replies are then received while other participants train,
        # and the last batches are small.
        half = math.ceil(len(numbers) / self._calls_each)
        at_once = min(max(half, self._worth_a_call), self._most_at_once, len(numbers))
        chosen = tuple(numbers.popleft() for _ in range(at_once))
        messages = [self._asked[number] for number in chosen]
        batch = pack_messages(messages)
        nodes = tuple(message.metadata.dst_node_id for message in messages)
        self._until.setdefault(share.host, time.monotonic() + self._patience)
        self.calls[share.run(batch, contents)] = DispatchedBatch(share, batch, chosen, nodes)
