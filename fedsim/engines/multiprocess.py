"""The local engine with several processes: each runs its share of the participants.

A participant that keeps something from round to round (its momentum) stays in one process, and so
does what it keeps, which travels only when a checkpoint is written. Others are shared out evenly in
each round. The processes are forks, so the data is there once; parameters go through memory that
both sides share (see `channel`). Every process runs its participants as `LocalGrid` does, and every
random draw comes from the seed, so the numbers are those of one process, bit for bit.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate

from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines.base import FetchedStates, NodesGrid
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.processes import Worker, forked, who_sent
from fedsim.engines.worker import KeptModels, host
from fedsim.errors import FedsimError, MessageError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.buffer_lending import BufferBorrower
from fedsim.transport.buffer_pool import BufferPool
from fedsim.transport.channel import send_all
from fedsim.transport.messages import round_of

# Of this process, where another one has 1: what the others do has to be sent and received, too.
OWN_SHARE = 1.25
SECONDS_BETWEEN_LOOKS = 0.02  # while this process runs participants: at what the others sent
SECONDS_TO_ANSWER = 5.0  # of a process whose participant hangs; if that allows it, it answers


@contextmanager
def local_grid(
    client_app: ClientApp, participants: int, workers: int, threads: int, *, apart: bool = False
) -> Iterator[NodesGrid]:
    """Give a grid over participants on this machine; its processes end with the block.

    Parameters
    ----------
    client_app
        The participants' app, fedsim's or a third party's. It is forked as it is now.
    participants
        How many there are.
    workers
        How many processes run them; with one it is this process, and where they are stacked, this
        process is one of them.
    threads
        How many threads each of the processes computes with.
    apart
        Whether a single one is not to be this process, either: a participant that hangs can be
        left out (see `WorkersGrid.send_and_receive`) only where it can be killed.

    Raises
    ------
    FedsimError
        If there is no forking on this machine.
    """
    count = min(workers, participants)
    if count == 1 and not apart:
        yield LocalGrid(client_app, participants)
        return
    # Stacked participants are so quick that waiting and carrying cost as much as they do: their
    # replies go together, and this process runs a share of them.
    ours = client_app if isinstance(client_app, PrefetchingApp) else None
    quick = ours is not None and ours.stacked and not apart
    stay = ours is None or not ours.forgets
    pools = [BufferPool.of_machine() for _ in range(count - quick)]
    hosts = [partial(host, client_app, participants, threads, quick, pool) for pool in pools]
    with forked(hosts) as processes:
        own = LocalGrid(client_app, participants) if quick else None
        yield WorkersGrid(participants, [*map(_borrowing, processes, pools)], own, stay=stay)


class WorkersGrid(NodesGrid):
    """All participants of a federation, in several processes; see `local_grid`.

    Parameters
    ----------
    participants
        How many there are.
    workers
        The processes.
    own
        What runs a share of the participants in this process.
    stay
        Whether each participant is to run in the same process always.
    """

    def __init__(
        self,
        participants: int,
        workers: Sequence[Worker],
        own: LocalGrid | None = None,
        *,
        stay: bool = True,
    ) -> None:
        super().__init__(participants)
        self._workers = workers
        self._own = own
        self._stay = stay
        self._times_kept = 0
        self._hung: set[Worker] = set()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Run all messages side by side and return the replies, in the order of the messages.

        A participant has `timeout` seconds from when its process turns to it. One that takes longer
        is left out, and so are those after it in that process; the others are waited for.
        The processes are then not in step any more, and the grid is of no use for another round.

        Raises
        ------
        FedsimError
            If a participant raises one, or the process of a participant ends.
        """
        asked = list(messages)
        turns = self._turns(asked)
        busy = {w: turn for w, turn in zip(self._workers, turns, strict=False) if turn}
        send_all(
            (worker.channel, ("run", ([asked[number] for number in turn], _dropped(worker))))
            for worker, turn in busy.items()
        )
        patience = math.inf if timeout is None else timeout
        until = dict.fromkeys(busy, time.monotonic() + patience)
        replies: dict[int, Message] = {}

        def receive(seconds: float) -> bool:
            ready = who_sent([w for w in busy if busy[w]], seconds)
            for worker in ready:
                for reply in self._replies(worker, asked[busy[worker][0]]):
                    replies[busy[worker].popleft()] = reply
                until[worker] = time.monotonic() + patience
            return bool(ready)

        if self._own is not None:
            self._own.foresee([asked[number] for number in turns[-1]])
            looked = time.monotonic()
            for number in turns[-1]:
                [replies[number]] = self._own.send_and_receive([asked[number]])
                if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
                    receive(0)  # or the others would wait for room in their channels
                    looked = time.monotonic()
        while waiting := [w for w in busy if busy[w] and w not in self._hung]:
            if not receive(min(until[w] for w in waiting) - time.monotonic()):
                self._hung |= {w for w in waiting if until[w] <= time.monotonic()}
        return [replies[number] for number in sorted(replies)]

    def states(self) -> Mapping[int, RecordDict]:
        """Return what each node keeps between rounds; later rounds do not change the result.

        The processes keep it, and it is fetched when it is first looked at. That must be before
        the next call, and inside the block of `local_grid`; a round that was broken off in the
        meantime does no harm.
        """
        self._times_kept += 1  # first: a Ctrl-C may leave some with what they have kept before
        for worker in self._workers:
            worker.channel.send(("keep", ()))
        own = {} if self._own is None else self._own.states()
        return FetchedStates(partial(self._fetched, self._times_kept, own))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Put back what `states` returned."""
        shares: list[dict[int, RecordDict]] = [{} for _ in range(self._shares)]
        for node, state in states.items():
            shares[self._place(node)][node] = state
        for worker, share in zip(self._workers, shares, strict=False):
            worker.channel.send(("restore", (share,)))
        if self._own is not None:
            self._own.restore(shares[-1])

    def _turns(self, asked: Sequence[Message]) -> list[deque[int]]:
        """Return the numbers of the messages that each process runs; this one comes last."""
        turns = [deque[int]() for _ in range(self._shares)]
        if self._stay:
            for number, message in enumerate(asked):
                turns[self._place(message.metadata.dst_node_id)].append(number)
            return turns
        weights = [1.0] * len(self._workers) + [OWN_SHARE] * (self._own is not None)
        ends = [round(len(asked) * end / sum(weights)) for end in accumulate(weights)]
        for turn, start, end in zip(turns, [0, *ends], ends, strict=False):
            turn.extend(range(start, end))
        return turns

    @property
    def _shares(self) -> int:
        return len(self._workers) + (self._own is not None)

    def _place(self, node: int) -> int:
        return (node - self._nodes.start) % self._shares

    def _replies(self, worker: Worker, asked: Message) -> Iterator[Message]:
        """Yield the replies that a process sends together, the one to `asked` first."""
        for reply in worker.receive(self._doing(asked)):
            if isinstance(reply, FedsimError):
                raise reply
            assert isinstance(reply, Message)  # noqa: S101 - what _Host sends
            yield reply

    def _doing(self, asked: Message) -> str:
        participant = asked.metadata.dst_node_id - self._nodes.start
        or_later = "" if self._own is None else ", or one after it,"  # their replies go together
        try:
            return f"ran participant {participant}{or_later} in round {round_of(asked)}"
        except MessageError:  # none was trained yet
            return f"was to run participant {participant}"

    def _fetched(self, time_kept: int, own: Mapping[int, RecordDict]) -> dict[int, RecordDict]:
        if time_kept != self._times_kept:
            raise FedsimError("these states are gone: states() was called again")
        for worker in self._workers:
            worker.channel.send(("fetch", ()))
        found = dict(own)
        for worker in self._workers:
            found |= self._kept_by(worker).states
        return {node: found.get(node, RecordDict()) for node in self._nodes}

    def _kept_by(self, worker: Worker) -> "KeptModels":
        """Return what a process kept, past the replies of a round that was broken off."""
        left = SECONDS_TO_ANSWER if worker in self._hung else math.inf
        while who_sent([worker], left):
            answer = worker.receive("was to give its participants' states")
            if isinstance(answer, KeptModels):
                return answer
        raise FedsimError("the process of a participant that hangs does not give its states")


def _borrowing(worker: Worker, pool: BufferPool | None) -> Worker:
    lending = None if pool is None else BufferBorrower(pool)
    return replace(worker, channel=replace(worker.channel, lending=lending))


def _dropped(worker: Worker) -> list[int]:
    lending = worker.channel.lending
    return lending.dropped() if isinstance(lending, BufferBorrower) else []
