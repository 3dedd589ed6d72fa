"""A worker process, which runs a share of the participants for `WorkersGrid`."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NoReturn

from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines.flower_identity import local_identity
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.processes import computing_thread, end_on_defect, sendable_error
from fedsim.errors import FedsimError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.buffer_lending import BufferLender
from fedsim.transport.buffer_pool import BufferPool
from fedsim.transport.channel import Channel

SECONDS_TOGETHER = 0.02  # replies that become ready within this time are sent together


@dataclass(frozen=True)
class KeptStates:
    """The answer to `fetch`, of a type of its own to tell it from replies of participants."""

    states: dict[int, RecordDict]


class _WorkerProcess:
    """Runs a share of the participants; the parent calls its methods by name over the channel.

    Participants run in a second thread, so that the first thread can always answer: after a Ctrl-C
    the parent asks for the states while participants still train.
    """

    def __init__(
        self, grid: LocalGrid, channel: Channel, thread: ThreadPoolExecutor, quick: bool
    ) -> None:
        self._grid = grid
        self._channel = channel
        self._thread = thread
        self._together = SECONDS_TOGETHER if quick else 0.0
        self._kept: dict[int, RecordDict] = {}

    def run(self, messages: Sequence[Message], dropped: Sequence[int]) -> None:
        """Process messages one after the other, and send each reply as soon as it is ready.

        `dropped` has the blocks of lent uploads that the parent has released; see
        `buffer_lending`.
        """
        if self._channel.lending is not None:
            self._channel.lending.pool.returned(dropped)
        self._thread.submit(self._run, messages).add_done_callback(end_on_defect)

    def keep(self) -> None:
        """Keep a copy of the current states, between two rounds."""
        self._kept = self._grid.states()

    def fetch(self) -> None:
        """Send the kept states; nodes that run in other processes have none here."""
        self._channel.send(KeptStates({node: state for node, state in self._kept.items() if state}))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Restore the states of this process's nodes."""
        self._grid.restore(states)

    def _run(self, messages: Sequence[Message]) -> None:
        self._grid.foresee(messages)
        ready: list[Message | Exception] = []
        sent = time.monotonic()
        for message in messages:
            try:
                ready += self._grid.send_and_receive([message])
            except FedsimError as error:
                ready.append(sendable_error(error))
            if message is messages[-1] or time.monotonic() - sent >= self._together:
                self._channel.send(ready)
                ready, sent = [], time.monotonic()


def run_worker(
    client_app: ClientApp,
    participants: int,
    threads: int,
    quick: bool,
    pool: BufferPool | None,
    channel: Channel,
) -> NoReturn:
    """Run a share of the participants, as the parent requests over the channel.

    Parameters
    ----------
    client_app, participants, threads
        See `multiprocess.local_grid`.
    quick
        Whether replies that become ready soon after each other are sent together.
    pool
        The shared memory into which uploads are written; None without one.
    channel
        This process's end of the channel to the parent.
    """
    grid = LocalGrid(client_app, participants)
    if isinstance(client_app, PrefetchingApp):
        client_app.use_upload_pool(pool)
    if pool is not None:
        channel = replace(channel, lending=BufferLender(pool))
    with local_identity(), computing_thread(threads) as thread:
        process = _WorkerProcess(grid, channel, thread, quick)
        while True:
            method, arguments = channel.receive()
            getattr(process, method)(*arguments)
