"""What a worker process answers; it runs in a thread here, where its coverage can be measured."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines import worker
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.worker import KeptStates, run_worker
from fedsim.errors import DataError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.buffer_pool import BufferPool
from fedsim.transport.channel import Channel, new_channel

pytestmark = pytest.mark.usefixtures("flower")


def counting(message: Message, context: Context) -> Message:
    """Answer how often this participant was asked; participant 2 fails."""
    participant = int(context.node_config["partition-id"])
    if participant == 2:
        raise DataError("participant 2 has no records")
    record = context.state.config_records.setdefault("kept", ConfigRecord({"asked": 0}))
    record["asked"] = int(record["asked"]) + 1  # type: ignore[arg-type]
    metrics = MetricRecord({"participant": participant, "asked": record["asked"]})  # type: ignore[dict-item]
    return Message(RecordDict({"m": metrics}), reply_to=message)


def app_of(answer: Callable[[Message, Context], Message]) -> ClientApp:
    app = ClientApp()
    app.train()(answer)
    return app


NODES = list(LocalGrid(ClientApp(), 4).get_node_ids())


def asked(*participants: int) -> list[Message]:
    return [Message(RecordDict(), NODES[one], MessageType.TRAIN) for one in participants]


@contextmanager
def working(
    app: ClientApp, *, quick: bool = False, pool: BufferPool | None = None
) -> Iterator[Channel]:
    """Run a worker in a thread, and give the parent's end of the channel to it."""
    ours, theirs = new_channel()
    with ThreadPoolExecutor(1) as thread:
        body = thread.submit(run_worker, app, 4, 1, quick, pool, theirs)
        try:
            yield ours
        finally:
            ours.close()
        with pytest.raises(EOFError, match=r"^the other end of the channel is closed$"):
            body.result(10)
    theirs.close()


def counts(replies: Sequence[Message]) -> list[tuple[object, object]]:
    found = [reply.content.metric_records["m"] for reply in replies]
    return [(one["participant"], one["asked"]) for one in found]


def test_each_reply_is_sent_as_soon_as_it_is_ready() -> None:
    with working(app_of(counting)) as channel:
        channel.send(("run", (asked(3, 0, 1), ())))
        assert [counts(channel.receive()) for _ in range(3)] == [[(3, 1)], [(0, 1)], [(1, 1)]]


def test_quick_replies_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS_TOGETHER", 60.0)
    with working(app_of(counting), quick=True) as channel:
        channel.send(("run", (asked(3, 0, 1), ())))
        assert counts(channel.receive()) == [(3, 1), (0, 1), (1, 1)]


def test_an_error_is_sent_in_place_of_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS_TOGETHER", 60.0)
    with working(app_of(counting), quick=True) as channel:
        channel.send(("run", (asked(1, 2, 0), ())))
        first, error, last = channel.receive()
        assert counts([first, last]) == [(1, 1), (0, 1)]
        assert type(error) is DataError
        assert str(error) == "participant 2 has no records"


def test_fetched_states_are_those_of_the_last_keep() -> None:
    with working(app_of(counting)) as channel:
        channel.send(("fetch", ()))
        assert channel.receive() == KeptStates({})
        channel.send(("run", (asked(0), ())))
        channel.receive()
        channel.send(("keep", ()))
        channel.send(("run", (asked(0, 1), ())))
        assert [counts(channel.receive()) for _ in range(2)] == [[(0, 2)], [(1, 1)]]
        channel.send(("fetch", ()))
        kept = RecordDict({"kept": ConfigRecord({"asked": 1})})
        assert channel.receive() == KeptStates(
            {NODES[0]: kept}
        )  # nodes without a state are left out


def test_a_restored_state_is_the_next_one() -> None:
    state = RecordDict({"kept": ConfigRecord({"asked": 41})})
    with working(app_of(counting)) as channel:
        channel.send(("restore", ({NODES[3]: state},)))
        channel.send(("run", (asked(3, 0), ())))
        assert [counts(channel.receive()) for _ in range(2)] == [[(3, 42)], [(0, 1)]]


class NotedPool:
    """A pool that notes which blocks are returned to it."""

    def __init__(self) -> None:
        self.back: list[list[int]] = []

    def returned(self, dropped: Sequence[int]) -> None:
        """Note the blocks."""
        self.back.append(list(dropped))


class NotedTrainer:
    """A trainer, and its uploads, that notes its pool and which participants are announced."""

    def __init__(self) -> None:
        self.uploads = self
        self.pools: list[object] = []
        self.announced: list[list[object]] = []

    def use_pool(self, pool: object) -> None:
        """Note the pool."""
        self.pools.append(pool)

    def foresee(self, coming: Sequence[tuple[Message, Context]]) -> None:
        """Note the participants of the coming messages."""
        self.announced.append([context.node_config["partition-id"] for _, context in coming])


def test_all_messages_are_announced_and_released_uploads_return_to_the_pool() -> None:
    pool, trainer = NotedPool(), NotedTrainer()
    app = PrefetchingApp(trainer, [], keep_state=True)  # type: ignore[arg-type]
    app.train()(counting)
    with working(app, pool=pool) as channel:  # type: ignore[arg-type]
        channel.send(("run", (asked(3, 0), (64, 128))))
        assert [counts(channel.receive()) for _ in range(2)] == [[(3, 1)], [(0, 1)]]
    assert trainer.pools == [pool]
    assert trainer.announced == [[3, 0]]
    assert pool.back == [[64, 128]]
