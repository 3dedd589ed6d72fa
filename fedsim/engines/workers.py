"""The local engine with several processes: each runs its share of the participants.

A participant stays in one process, so what it keeps from round to round (its momentum) stays there
too; it travels only when a checkpoint is written. The processes are forks, so the data is there
once; parameters go through memory that both sides share (see `line`). Every process runs its
participants as `LocalGrid` does, and every random draw comes from the seed, so the numbers are
those of one process, bit for bit.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines.flower_identity import local_identity
from fedsim.engines.line import Line, send_all
from fedsim.engines.local import LocalGrid
from fedsim.engines.nodes import FetchedStates, NodesGrid
from fedsim.engines.processes import Worker, computing, end_on_defect, forked, portable, who_sent
from fedsim.errors import FedsimError, MessageError
from fedsim.federation.messages import round_of

SECONDS_TO_ANSWER = 5.0  # of a process whose participant hangs; if that allows it, it answers


@contextmanager
def local_grid(
    client_app: ClientApp, participants: int, workers: int, threads: int, *, apart: bool = False
) -> Iterator[NodesGrid]:
    """Give a grid over participants on this machine; its processes end with the block.

    Parameters
    ----------
    client_app
        The participants' app, fedsim's or anybody's. It is forked as it is now.
    participants
        How many there are.
    workers
        How many processes run them; with one it is this process.
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
    host = partial(_host, client_app, participants, threads)
    with forked([host] * count) as processes:
        yield WorkersGrid(participants, processes)


class WorkersGrid(NodesGrid):
    """All participants of a federation, in several processes; see `local_grid`."""

    def __init__(self, participants: int, workers: Sequence[Worker]) -> None:
        super().__init__(participants)
        self._workers = workers
        self._times_kept = 0
        self._hung: set[Worker] = set()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Run all messages side by side and return the replies, in the order of the messages.

        A participant has `timeout` seconds from when its process turns to it. Whoever takes longer
        is left out, and so is whoever comes after it in that process; the others are waited for.
        The processes are then not in step any more, and the grid is of no use for another round.

        Raises
        ------
        FedsimError
            If a participant raises one, or the process of a participant ends.
        """
        asked = list(messages)
        turns = [deque[int]() for _ in self._workers]
        for number, message in enumerate(asked):
            turns[self._place(message.metadata.dst_node_id)].append(number)
        send_all(
            (worker.line, ("run", ([asked[number] for number in turn],)))
            for worker, turn in zip(self._workers, turns, strict=True)
            if turn
        )
        patience = math.inf if timeout is None else timeout
        busy = {w: turn for w, turn in zip(self._workers, turns, strict=True) if turn}
        until = dict.fromkeys(busy, time.monotonic() + patience)
        replies: dict[int, Message] = {}
        while busy:
            ready = who_sent(list(busy), min(until[w] for w in busy) - time.monotonic())
            for worker in ready:
                number = busy[worker].popleft()
                replies[number] = self._reply(worker, asked[number])
                until[worker] = time.monotonic() + patience
            if not ready:
                self._hung |= {w for w in busy if until[w] <= time.monotonic()}
            busy = {w: turn for w, turn in busy.items() if turn and w not in self._hung}
        return [replies[number] for number in sorted(replies)]

    def states(self) -> Mapping[int, RecordDict]:
        """Return what each node keeps between rounds; later rounds do not change the result.

        The processes keep it, and it is fetched when it is first looked at. That must be before
        the next call, and inside the block of `local_grid`; a round that was broken off in the
        meantime does no harm.
        """
        self._times_kept += 1  # first: a Ctrl-C may leave some with what they have kept before
        for worker in self._workers:
            worker.line.send(("keep", ()))
        return FetchedStates(partial(self._fetched, self._times_kept))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Put back what `states` returned."""
        shares: list[dict[int, RecordDict]] = [{} for _ in self._workers]
        for node, state in states.items():
            shares[self._place(node)][node] = state
        for worker, share in zip(self._workers, shares, strict=True):
            worker.line.send(("restore", (share,)))

    def _place(self, node: int) -> int:
        return (node - self._nodes.start) % len(self._workers)

    def _reply(self, worker: Worker, asked: Message) -> Message:
        reply = worker.receive(self._doing(asked))
        if isinstance(reply, FedsimError):
            raise reply
        assert isinstance(reply, Message)  # noqa: S101 - what _Host sends
        return reply

    def _doing(self, asked: Message) -> str:
        participant = asked.metadata.dst_node_id - self._nodes.start
        try:
            return f"ran participant {participant} in round {round_of(asked)}"
        except MessageError:  # nobody was trained yet
            return f"was to run participant {participant}"

    def _fetched(self, time_kept: int) -> dict[int, RecordDict]:
        if time_kept != self._times_kept:
            raise FedsimError("these states are gone: states() was called again")
        for worker in self._workers:
            worker.line.send(("fetch", ()))
        found: dict[int, RecordDict] = {}
        for worker in self._workers:
            found |= self._kept_by(worker).states
        return {node: found.get(node, RecordDict()) for node in self._nodes}

    def _kept_by(self, worker: Worker) -> "_Kept":
        """Return what a process kept, past the replies of a round that was broken off."""
        left = SECONDS_TO_ANSWER if worker in self._hung else math.inf
        while who_sent([worker], left):
            answer = worker.receive("was to give its participants' states")
            if isinstance(answer, _Kept):
                return answer
        raise FedsimError("the process of a participant that hangs does not give its states")


@dataclass(frozen=True)
class _Kept:
    """The answer to `fetch`; told from the replies of participants by its type."""

    states: dict[int, RecordDict]


class _Host:
    """The other side: a process that runs its participants, called by method name over the line.

    Participants run in a second thread, so that the first one can always answer: after a Ctrl-C the
    states are wanted while participants still train.
    """

    def __init__(self, grid: LocalGrid, line: Line, thread: ThreadPoolExecutor) -> None:
        self._grid = grid
        self._line = line
        self._thread = thread
        self._kept: dict[int, RecordDict] = {}

    def run(self, messages: Sequence[Message]) -> None:
        """Run messages one after the other, and send each reply as soon as it is there."""
        self._thread.submit(self._run, messages).add_done_callback(end_on_defect)

    def keep(self) -> None:
        """Keep the states as they are now, between two rounds."""
        self._kept = self._grid.states()

    def fetch(self) -> None:
        """Send what was kept; nodes of other processes have nothing here."""
        self._line.send(_Kept({node: state for node, state in self._kept.items() if state}))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Take the states of our nodes."""
        self._grid.restore(states)

    def _run(self, messages: Sequence[Message]) -> None:
        self._grid.foresee(messages)
        for message in messages:
            try:
                [reply] = self._grid.send_and_receive([message])
            except FedsimError as error:
                self._line.send(portable(error))
            else:
                self._line.send(reply)


def _host(client_app: ClientApp, participants: int, threads: int, line: Line) -> NoReturn:
    grid = LocalGrid(client_app, participants)
    with local_identity(), computing(threads) as thread:
        host = _Host(grid, line, thread)
        while True:
            method, arguments = line.receive()
            getattr(host, method)(*arguments)
