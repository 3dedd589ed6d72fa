"""The local engine: participants in this process, kept apart, their failures told."""

from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from fedsim.engines import flower_identity
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, MessageError, SnapshotError
from fedsim.federation.node_identification import identify_nodes


def counting() -> ClientApp:
    """Return an app whose participants count their messages and spoil what they get."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        kept = context.state.config_records.setdefault("kept", ConfigRecord({"count": 0}))
        kept["count"] = int(kept["count"]) + 1
        seen = MetricRecord({"count": kept["count"], "got": len(message.content["arrays"])})
        message.content["arrays"]["extra"] = Array(np.ones(1))
        message.content["config"] = ConfigRecord({"spoilt": True})
        return Message(RecordDict({"seen": seen}), reply_to=message)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        config = {key: int(context.node_config[key]) for key in context.node_config}
        return Message(RecordDict({"m": MetricRecord(config)}), reply_to=message)

    return app


def to(nodes: list[int], content: RecordDict, kind: str = MessageType.TRAIN) -> list[Message]:
    return [Message(content, node, kind) for node in nodes]


@pytest.fixture
def content() -> RecordDict:
    arrays = ArrayRecord({"w": Array(np.zeros(2))})
    return RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 1})})


def seen(replies: list[Message], key: str) -> list[Any]:
    return [next(iter(r.content.metric_records.values()))[key] for r in replies]


@pytest.mark.usefixtures("flower")
class TestLocalGrid:
    def test_nodes_are_participants_in_order(self) -> None:
        grid = LocalGrid(counting(), 3)
        nodes = list(grid.get_node_ids())
        assert len(set(nodes)) == 3
        replies = list(grid.send_and_receive(to(nodes, RecordDict(), MessageType.QUERY)))
        assert seen(replies, "partition-id") == [0, 1, 2]
        assert seen(replies, "num-partitions") == [3, 3, 3]
        assert identify_nodes(LocalGrid(counting(), 3), 3) == dict(
            zip(nodes, (0, 1, 2), strict=True)
        )

    def test_replies_come_in_the_order_of_the_messages(self, content: RecordDict) -> None:
        grid = LocalGrid(counting(), 3)
        nodes = list(grid.get_node_ids())[::-1]
        replies = list(grid.send_and_receive(to(nodes, content)))
        assert [r.metadata.src_node_id for r in replies] == nodes
        assert all(r.metadata.message_type == MessageType.TRAIN for r in replies)

    def test_each_participant_keeps_its_own_context(self, content: RecordDict) -> None:
        grid = LocalGrid(counting(), 2)
        first, second = grid.get_node_ids()
        for _ in range(3):
            grid.send_and_receive(to([first], content))
        assert seen(list(grid.send_and_receive(to([first, second], content))), "count") == [4, 1]

    def test_what_one_participant_spoils_does_not_reach_another(self, content: RecordDict) -> None:
        grid = LocalGrid(counting(), 3)
        messages = to(list(grid.get_node_ids()), content)  # all share one content, as in FedAvg
        assert seen(list(grid.send_and_receive(messages)), "got") == [1, 1, 1]
        assert list(content["arrays"]) == ["w"]
        assert content["config"] == ConfigRecord({"server-round": 1})

    def test_states_are_copies_and_can_be_put_back(self, content: RecordDict) -> None:
        grid = LocalGrid(counting(), 2)
        nodes = list(grid.get_node_ids())
        grid.send_and_receive(to(nodes, content))
        states = grid.states()
        grid.send_and_receive(to(nodes, content))
        assert states[nodes[0]]["kept"]["count"] == 1
        other = LocalGrid(counting(), 2)
        other.restore(states)
        assert seen(list(other.send_and_receive(to(nodes, content))), "count") == [2, 2]
        assert states[nodes[0]]["kept"]["count"] == 1

    def test_pushed_messages_are_pulled_once(self, content: RecordDict) -> None:
        grid = LocalGrid(counting(), 2)
        ids = list(grid.push_messages(to(list(grid.get_node_ids()), content)))
        assert len(set(ids)) == 2
        assert len(list(grid.pull_messages(ids[:1]))) == 1
        assert len(list(grid.pull_messages(ids))) == 1
        assert list(grid.pull_messages(ids)) == []

    def test_an_unknown_node_is_an_error_reply(self, content: RecordDict) -> None:
        [reply] = LocalGrid(counting(), 1).send_and_receive(to([99], content))
        assert reply.error.reason == "there is no node 99"

    def test_there_is_no_run_to_ask_about(self) -> None:
        with pytest.raises(FedsimError, match="has no SuperLink"):
            LocalGrid(counting(), 1).run  # noqa: B018 - reading it is what is tested


def failing(error: BaseException) -> Any:
    def mod(message: Message, context: Context, call_next: Any) -> Message:
        trains = message.metadata.message_type == MessageType.TRAIN
        if trains and context.node_config["partition-id"] == 1:
            raise error
        return call_next(message, context)

    return mod


@pytest.mark.usefixtures("flower")
def test_a_failing_participant_is_named_with_its_round() -> None:
    federation = toys.Federation(mods=[failing(ValueError("one\n two"))])
    with pytest.raises(MessageError) as error:
        federation.run()
    assert str(error.value) == "participant 1 in round 1 failed: ValueError: one two"


@pytest.mark.usefixtures("flower")
def test_our_own_errors_and_ctrl_c_pass_through_a_participant() -> None:
    for raised in (SnapshotError("the disk is full"), KeyboardInterrupt()):
        federation = toys.Federation(mods=[failing(raised)])
        with pytest.raises(type(raised)):
            federation.run()


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("said", [[0, 0, 1], [0, 1, 3], [-1, 0, 1]])
def test_participants_must_introduce_themselves_once_each(said: list[int]) -> None:
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        who = said[int(context.node_config["partition-id"])]
        metrics = MetricRecord({"partition-id": who} if who >= 0 else {"other": 1})
        return Message(RecordDict({"m": metrics}), reply_to=message)

    with pytest.raises(MessageError, match=r"the federation needs each of 0 to 2 once"):
        identify_nodes(LocalGrid(app, 3), 3)


@pytest.mark.usefixtures("flower")
def test_an_app_without_an_introduction_is_one_sentence() -> None:
    with pytest.raises(MessageError, match=r"^node \d+ failed: ValueError: No query function"):
        identify_nodes(LocalGrid(ClientApp(), 1), 1)


def test_the_identity_lasts_for_the_block_only() -> None:
    def whole() -> tuple[Any, ...]:
        return (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)

    assert whole() == (None, None, None)
    with local_identity():
        inside = whole()
        assert None not in inside
        with local_identity():
            assert whole() == inside
        assert whole() == inside
    assert whole() == (None, None, None)


def test_a_flower_that_moved_its_identity_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(TaskIdentity, "_run_id")
    told = r"this version of Flower keeps the identity .* needs flwr >= 1\.41, < 1\.43"
    with pytest.raises(FedsimError, match=told), flower_identity.local_identity():
        pass


def test_threads_are_the_callers_again_after_the_block() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), limited_threads(before + 1):
        1 / (torch.get_num_threads() - before - 1)
    assert torch.get_num_threads() == before
