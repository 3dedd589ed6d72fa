"""A Flower grid whose participants run on a Ray cluster.

Participants stay with the process that has their share, so their states between rounds stay there,
too. Parameters are put into the object store once a round, whatever the number of participants that
receive them. A process is sent a few messages at a time, and more as replies return, so the number
of messages in flight does not grow with the federation.

A process, or its node, may end at any time. The driver keeps the states of every share from some
rounds ago, and the messages that were processed since. Another process takes over the states,
processes these messages again, which gives equal results, and continues.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ray
from flwr.app import Message, RecordDict

from fedsim.config.engine import RayEngine
from fedsim.engines.base import FetchedStates, NodesGrid
from fedsim.engines.ray.cluster import LOST, Handle, RayActors
from fedsim.engines.ray.dispatch import DispatchedBatch, DispatchWindow
from fedsim.engines.ray.serialization import BatchResult, Payload, unpack_object
from fedsim.engines.ray.shard import Shard, StoredParameters, StoreTraffic
from fedsim.errors import FedsimError
from fedsim.observation.snapshots import SnapshotStore
from fedsim.transport.disk_spill import DiskSpill

# After this many calls, or bytes sent, the states are fetched. This bounds the work to repeat when
# a process is lost, and the memory of the messages kept for it.
LOGGED_TURNS = 20
LOGGED_BYTES = 256 * 2**20


class RayGrid(NodesGrid):
    """All participants of a federation, on a Ray cluster; see `open_ray_grids`.

    Attributes
    ----------
    traffic
        The total traffic through the object store so far.
    """

    def __init__(
        self,
        participants: int,
        hosts: RayActors,
        shares: Sequence[Shard],
        stores: Sequence[SnapshotStore],
        engine: RayEngine,
    ) -> None:
        super().__init__(participants)
        self.traffic = StoreTraffic()
        self._hosts = hosts
        self._shares = shares
        self._stores = stores
        self._in_flight = engine.in_flight
        self._restarts = engine.restarts
        self._contents = StoredParameters(self.traffic)
        self._out_of_step: set[Shard] = set()
        self._marks = 0  # number of times that the states were marked, and the mark last fetched
        self._fetched_at = 0
        self._asked_for_states = False
        self._turns, self._sent_before = 0, 0
        self._seconds_each: dict[str, float] = {}  # for a participant in the last call, by type
        self.restore({})

    @property
    def out_of_step(self) -> set[Handle]:
        """The processes that still process messages whose replies are no longer needed."""
        return {share.host for share in self._out_of_step}

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Process all messages in parallel and return the replies, in the order of the messages.

        A participant has `timeout` seconds from the moment at which its process starts it. A
        participant that takes longer is left out, together with those that follow in its process,
        and this process is killed.

        Raises
        ------
        FedsimError
            If a participant raises such an error, or a share's process is lost repeatedly.
        """
        asked = list(messages)
        self._get_in_step()
        self._shorten_log()
        self._contents.expect(asked)
        waiting = {share: list[int]() for share in self._shares}
        for number, message in enumerate(asked):
            waiting[self._shares[self._place(message.metadata.dst_node_id)]].append(number)
        kind = asked[0].metadata.message_type if asked else ""
        turn = DispatchWindow(
            asked, waiting, self._in_flight, timeout, self._seconds_each.get(kind, 0.0)
        )
        began = time.monotonic()
        spill = DiskSpill()
        replies: dict[int, Message] = {}
        losses: Counter[Shard] = Counter()
        try:
            while turn.go_on(self._contents):
                for reference in turn.ready():
                    call = turn.calls[reference]
                    try:
                        payload: Payload = ray.get(reference)
                    except LOST as error:
                        losses[call.share] += 1
                        self._give_up_after(losses[call.share], call, error)
                        turn.take_back(call.share)
                        self._resume(call.share)
                        break  # other ready batches may be of the lost process, too
                    for number, reply in zip(call.numbers, self._answers(payload), strict=True):
                        spill.take(reply)
                        replies[number] = reply
                    call.share.since.append(call.batch)
                    turn.done(reference)
        finally:
            self._out_of_step |= turn.unfinished
        if asked:
            most = max(map(len, waiting.values()))
            self._seconds_each[kind] = (time.monotonic() - began) / most
        return [replies[number] for number in sorted(replies)]

    def states(self) -> Mapping[int, RecordDict]:
        """Return each node's state between rounds; later rounds do not change the result.

        The states are kept in the processes and are fetched on first access. The first access must
        come before the next call, and within the context of `open_ray_grids`. An aborted round in
        between has no effect on them.
        """
        self._get_in_step()
        self._asked_for_states = True
        self._mark()
        return FetchedStates(partial(self._states_at, self._marks))

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Restore the states that `states` returned."""
        of_share: list[dict[int, RecordDict]] = [{} for _ in self._shares]
        for node, state in states.items():
            if state:
                of_share[self._place(node)][node] = state
        self._out_of_step.clear()
        self._fetched_at = self._marks
        begun = [share.begin(own) for share, own in zip(self._shares, of_share, strict=True)]
        for share, done in zip(self._shares, begun, strict=True):
            try:
                ray.get(done)
            except LOST:
                self._resume(share)

    def _place(self, node: int) -> int:
        return (node - self._nodes.start) % len(self._shares)

    def _answers(self, payload: Payload) -> list[Message]:
        """Return the replies in a payload, and store the snapshots in it."""
        self.traffic.received_bytes += payload.size
        ran: BatchResult = unpack_object(payload)
        for one in ran.kept:
            self._stores[one.store].keep(one.round, one.key, one.arrays)
        if isinstance(ran.answer, Exception):
            raise ran.answer
        return ran.answer

    def _get_in_step(self) -> None:
        """Replace processes that still process messages whose replies are no longer needed."""
        hosts = self.out_of_step
        for share in [share for share in self._shares if share.host in hosts]:
            self._resume(share)
        self._out_of_step.clear()

    def _resume(self, share: Shard) -> None:
        """Continue a share in another process."""
        for _ in range(self._restarts + 1):
            lost = share.host
            share.host = self._hosts.instead_of(lost, [other.host for other in self._shares])
            try:
                share.resume(self._contents)
            except LOST:
                continue
            return
        raise FedsimError(
            f"processes of the Ray cluster end as soon as they take over participants of a lost "
            f"one ({self._restarts + 1} in a row); run the same command again when the cluster is "
            "well, it goes on where it was"
        )

    def _give_up_after(self, losses: int, call: DispatchedBatch, error: Exception) -> None:
        if losses > self._restarts:
            who = ", ".join(str(node - self._nodes.start) for node in call.nodes)
            raise FedsimError(
                f"the process that ran participants {who} was lost {losses} times in one round "
                f"({type(error).__name__}); out of memory? give it fewer at a time "
                "(engine.in_flight), or more of a node (engine.cpus)"
            ) from error

    def _mark(self) -> None:
        self._marks += 1
        for share in self._shares:
            share.keep(self._marks)

    def _states_at(self, mark: int) -> dict[int, RecordDict]:
        if mark not in (self._marks, self._fetched_at):
            raise FedsimError("these states are gone: states() was called again")
        if mark != self._fetched_at:
            self._fetch()
        found = {node: state for share in self._shares for node, state in share.states.items()}
        return {node: found.get(node, RecordDict()) for node in self._nodes}

    def _fetch(self) -> None:
        """Fetch the states that were marked last."""
        asked = [share.fetch() for share in self._shares]
        for share, reference in zip(self._shares, asked, strict=True):
            share.fetched(unpack_object(self._got(share, reference)))
        self._fetched_at = self._marks
        self._turns, self._sent_before = 0, self.traffic.sent_bytes

    def _got(self, share: Shard, reference: Any) -> Payload:
        while True:
            try:
                return ray.get(reference)  # type: ignore[no-any-return]
            except LOST:
                self._resume(share)
                self._out_of_step.discard(share)
                reference = share.fetch()

    def _shorten_log(self) -> None:
        """Fetch the states from time to time, to bound the messages that a loss would repeat."""
        self._turns += 1
        sent = self.traffic.sent_bytes - self._sent_before
        if self._turns > LOGGED_TURNS or sent > LOGGED_BYTES:
            if not self._asked_for_states:  # otherwise the marked states may still be needed
                self._mark()
            self._fetch()
