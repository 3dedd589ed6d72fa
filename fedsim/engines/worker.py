"""A process that runs its share of the participants: the other side of `WorkersGrid`."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NoReturn

from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines.flower_identity import local_identity
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.processes import computing, end_on_defect, portable
from fedsim.errors import FedsimError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.buffer_lending import BufferLender
from fedsim.transport.buffer_pool import BufferPool
from fedsim.transport.channel import Channel

SECONDS_TOGETHER = 0.02  # of training: replies that are ready that soon are sent together


@dataclass(frozen=True)
class KeptModels:
    """The answer to `fetch`; its type separates it from replies of participants."""

    states: dict[int, RecordDict]


class _WorkerProcess:
    """The other side: a process that runs its participants, called by method name over the channel.

    Participants run in a second thread, so that the first one can always answer: after a Ctrl-C the
    states are wanted while participants still train.
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
        """Run messages one after the other, and send each reply as soon as it is there.

        `dropped`: what our parent no longer reads of what we lent; see `buffer_lending`.
        """
        if self._channel.lending is not None:
            self._channel.lending.pool.returned(dropped)
        self._thread.submit(self._run, messages).add_done_callback(end_on_defect)

    def keep(self) -> None:
        """Keep the states as they are now, between two rounds."""
        self._kept = self._grid.states()

    def fetch(self) -> None:
        """Send what was kept; nodes of other processes have nothing here."""
        self._channel.send(KeptModels({node: state for node, state in self._kept.items() if state}))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Take the states of our nodes."""
        self._grid.restore(states)

    def _run(self, messages: Sequence[Message]) -> None:
        self._grid.foresee(messages)
        ready: list[Message | Exception] = []
        sent = time.monotonic()
        for message in messages:
            try:
                ready += self._grid.send_and_receive([message])
            except FedsimError as error:
                ready.append(portable(error))
            if message is messages[-1] or time.monotonic() - sent >= self._together:
                self._channel.send(ready)
                ready, sent = [], time.monotonic()


def host(
    client_app: ClientApp,
    participants: int,
    threads: int,
    quick: bool,
    pool: BufferPool | None,
    channel: Channel,
) -> NoReturn:
    """Serve as the process that runs a share of the participants, as the channel requests.

    Parameters
    ----------
    client_app, participants, threads
        See `workers.local_grid`.
    quick
        Whether replies that are ready soon after each other are sent together.
    pool
        Where what the participants upload is shown to our parent; None where there is none.
    channel
        To our parent.
    """
    grid = LocalGrid(client_app, participants)
    if isinstance(client_app, PrefetchingApp):
        client_app.use_upload_pool(pool)
    if pool is not None:
        channel = replace(channel, lending=BufferLender(pool))
    with local_identity(), computing(threads) as thread:
        host = _WorkerProcess(grid, channel, thread, quick)
        while True:
            method, arguments = channel.receive()
            getattr(host, method)(*arguments)
