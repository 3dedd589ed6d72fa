"""The local engine with several processes: each runs its share of the participants.

A participant with a state that lasts from round to round (its momentum) stays in one process. Its
state stays there, too, and is sent only when a checkpoint is written. Participants without a state
are divided evenly in each round. The processes are forks, so the data set is in memory once;
parameters are passed through shared memory (see `channel`). Every process runs its participants as
`LocalGrid` does, and every random draw comes from the seed, so all figures are equal, bit for bit,
to those of a single process.
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
from fedsim.engines.processes import Worker, fork_processes, wait_for_senders
from fedsim.engines.worker import KeptStates, run_worker
from fedsim.errors import FedsimError, MessageError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.buffer_lending import BufferBorrower
from fedsim.transport.buffer_pool import BufferPool
from fedsim.transport.channel import send_all
from fedsim.transport.messages import round_of

# The share of participants that this process runs, relative to 1 for each worker. It is larger,
# because the messages of a worker's participants also have to be sent and received.
OWN_SHARE = 1.25
SECONDS_BETWEEN_LOOKS = 0.02  # interval of receiving replies while this process runs participants
SECONDS_TO_ANSWER = 5.0  # wait for the states of a process whose participant hangs


@contextmanager
def local_grid(
    client_app: ClientApp, participants: int, workers: int, threads: int, *, apart: bool = False
) -> Iterator[NodesGrid]:
    """Yield a grid over participants on this machine; its processes end with the context.

    Parameters
    ----------
    client_app
        The participants' app, fedsim's or a third party's. The fork copies its current state.
    participants
        The number of participants.
    workers
        The number of processes that run them. With one, this process runs them. Where participants
        are stacked, this process is one of the workers.
    threads
        The number of computing threads of each process.
    apart
        Whether participants run in a process of their own even if `workers` is 1. Only in a process
        that can be killed can a hanging participant be left out (see
        `WorkersGrid.send_and_receive`).

    Raises
    ------
    FedsimError
        If this machine does not support forks.
    """
    count = min(workers, participants)
    if count == 1 and not apart:
        yield LocalGrid(client_app, participants)
        return
    # Training stacked participants is so fast that waiting and copying cost as much. Their replies
    # are therefore sent together, and this process trains a share of them.
    ours = client_app if isinstance(client_app, PrefetchingApp) else None
    quick = ours is not None and ours.stacked and not apart
    stay = ours is None or not ours.forgets
    pools = [BufferPool.of_machine() for _ in range(count - quick)]
    hosts = [partial(run_worker, client_app, participants, threads, quick, pool) for pool in pools]
    with fork_processes(hosts) as processes:
        own = LocalGrid(client_app, participants) if quick else None
        yield WorkersGrid(participants, [*map(_borrowing, processes, pools)], own, stay=stay)


class WorkersGrid(NodesGrid):
    """All participants of a federation, in several processes; see `local_grid`.

    Parameters
    ----------
    participants
        The number of participants.
    workers
        The processes that run participants.
    own
        The grid that runs a share of the participants in this process, if any.
    stay
        Whether each participant runs in the same process in every round.
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
        """Process all messages in parallel and return the replies, in the order of the messages.

        A participant has `timeout` seconds from the moment at which its process starts it. A
        participant that takes longer is left out, together with those that follow in its process;
        the grid waits for all others. The processes are then no longer in step, and the grid cannot
        be used for another round.

        Raises
        ------
        FedsimError
            If a participant raises such an error, or the process of a participant ends.
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
            ready = wait_for_senders([w for w in busy if busy[w]], seconds)
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
                    receive(0)  # otherwise the workers would wait until their channels have room
                    looked = time.monotonic()
        while waiting := [w for w in busy if busy[w] and w not in self._hung]:
            if not receive(min(until[w] for w in waiting) - time.monotonic()):
                self._hung |= {w for w in waiting if until[w] <= time.monotonic()}
        return [replies[number] for number in sorted(replies)]

    def states(self) -> Mapping[int, RecordDict]:
        """Return each node's state between rounds; later rounds do not change the result.

        The states are kept in the processes and are fetched on first access. The first access must
        come before the next call, and within the context of `local_grid`. An aborted round in
        between has no effect on them.
        """
        self._times_kept += 1  # first, as after a Ctrl-C some processes may still keep older states
        for worker in self._workers:
            worker.channel.send(("keep", ()))
        own = {} if self._own is None else self._own.states()
        return FetchedStates(partial(self._fetched, self._times_kept, own))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Restore the states that `states` returned."""
        shares: list[dict[int, RecordDict]] = [{} for _ in range(self._shares)]
        for node, state in states.items():
            shares[self._place(node)][node] = state
        for worker, share in zip(self._workers, shares, strict=False):
            worker.channel.send(("restore", (share,)))
        if self._own is not None:
            self._own.restore(shares[-1])

    def _turns(self, asked: Sequence[Message]) -> list[deque[int]]:
        """Return the indices of the messages that each process runs; this process comes last."""
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
            assert isinstance(reply, Message)  # noqa: S101 - a worker sends messages and errors
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

    def _kept_by(self, worker: Worker) -> "KeptStates":
        """Return the states that a process kept, skipping the replies of an aborted round."""
        left = SECONDS_TO_ANSWER if worker in self._hung else math.inf
        while wait_for_senders([worker], left):
            answer = worker.receive("was to give its participants' states")
            if isinstance(answer, KeptStates):
                return answer
        raise FedsimError("the process of a participant that hangs does not give its states")


def _borrowing(worker: Worker, pool: BufferPool | None) -> Worker:
    lending = None if pool is None else BufferBorrower(pool)
    return replace(worker, channel=replace(worker.channel, lending=lending))


def _dropped(worker: Worker) -> list[int]:
    lending = worker.channel.lending
    return lending.dropped() if isinstance(lending, BufferBorrower) else []
