"""What travels to a cluster's process and what it does there, without a cluster."""

from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from toys import content_bytes

from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.config.federation import LocalTraining
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.ray import actor
from fedsim.engines.ray.actor import RayActor, package_versions
from fedsim.engines.ray.app_serialization import LONG_ARRAY, pack_app, unpack_app
from fedsim.engines.ray.serialization import (
    Payload,
    pack_messages,
    pack_object,
    unpack_messages,
    unpack_object,
)
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.models import build_model
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import Policy, SnapshotStore
from fedsim.transport.lazy_arrays import ArrayInMemory, as_array_record, values_of
from fedsim.transport.messages import ROUND

pytestmark = pytest.mark.usefixtures("flower")
SENT: list[ArrayRecord] = []


class Keeping(ParticipantAdversary):
    """Keeps what arrives."""

    def threat(self) -> Threat:
        return Threat("a participant", "the aggregates")

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        return arrays


def app(*mods: Any) -> Any:
    data = toys.dataset()
    local = LocalTraining(batch_size=10, learning_rate=0.1)
    sets = toys.training_sets(data)
    return make_client_app(Participants(data, sets, toys.new_model, local, None, 3), mods)


def to_train(round_number: int = 1) -> list[Message]:
    arrays = ArrayRecord(toys.new_model().state_dict())
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({ROUND: round_number})})
    return [Message(content, node, "train") for node in (2, 3, 4)]


def loaded_actor(kept_in: SnapshotStore) -> RayActor:
    host = RayActor()
    payload, stores = pack_app(app(Keeping(1).keep_in(kept_in)))
    assert stores == (kept_in,)
    assert host.load_app(payload, 3, 1, []) == package_versions()
    host.restore(0, pack_object({}))
    return host


def run(host: RayActor, messages: list[Message]) -> Any:
    batch = pack_messages(messages)
    SENT.extend(batch.records)  # alive from now on, so their ids are theirs
    numbers = [id(record) for record in batch.records]
    return unpack_object(
        host.run(0, batch.head, numbers, *[pack_object(one) for one in batch.records])
    )


def test_a_host_runs_what_a_local_grid_runs_and_returns_what_is_kept(tmp_path: Path) -> None:
    host = loaded_actor(SnapshotStore(tmp_path / "s", Policy(frozenset({2}))))
    local = LocalGrid(app(), 3)
    for number in (1, 2, 3):
        replies = local.send_and_receive(to_train(number))
        ran = run(host, to_train(number))
        assert [content_bytes(r.content) for r in ran.answer] == [
            content_bytes(r.content) for r in replies
        ]
        kept = [(one.store, one.round, one.key) for one in ran.kept]
        assert kept == ([(0, 2, SnapshotKind.AGGREGATE.of())] if number == 3 else [])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_app_that_stacks_participants_travels_and_trains_them_the_same(activation: str) -> None:
    settings = {"widths": [4], "activation": activation}
    shape, classes = (toys.FEATURES,), toys.CLASSES
    new_model = partial(
        build_model, "fully-connected", settings, input_shape=shape, num_classes=classes, seed=3
    )
    data = toys.dataset()
    sets = toys.training_sets(data)
    members = Participants(data, sets, new_model, LocalTraining(learning_rate=0.1), None, 3)
    here = make_client_app(members, stacked=True)
    there = unpack_app(pack_app(here)[0], [])
    arrays = ArrayRecord(new_model().state_dict())
    uploads = []
    for one in (here, there):
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({ROUND: 1})})
        sent = [Message(content, node, "train") for node in (2, 3, 4)]
        uploads.append([content_bytes(m.content) for m in LocalGrid(one, 3).send_and_receive(sent)])
    assert uploads[0] == uploads[1]
    assert len({upload["arrays/linear1.weight"] for upload in uploads[0]}) == 3


def test_states_are_those_of_when_they_were_kept_and_are_fetched_once(tmp_path: Path) -> None:
    host, local = loaded_actor(SnapshotStore(tmp_path)), LocalGrid(app(), 3)
    local.send_and_receive(to_train())
    run(host, to_train())
    host.keep(0, 1)
    run(host, to_train(2)[:1])  # a round that is broken off
    states = {node: content_bytes(state) for node, state in local.states().items()}
    fetched = unpack_object(host.fetch(0, 1))
    assert {node: content_bytes(state) for node, state in fetched.items()} == states
    with ThreadPoolExecutor(1) as thread:  # asked for before they are there
        later = thread.submit(host.fetch, 0, 2)
        assert not wait([later], 0.05).done
        host.keep(0, 2)
        assert list(unpack_object(later.result())) == [2]
    assert unpack_object(host.fetch(0, 2)) == {}
    # Another process takes them, and goes on as this one would have.
    other = loaded_actor(SnapshotStore(tmp_path))
    other.restore(0, pack_object(fetched))
    local.send_and_receive(to_train(2)[:1])
    run(other, to_train(2)[:1])
    after = [run(one, to_train(3)).answer for one in (host, other)]
    assert [content_bytes(m.content) for m in after[0]] == [
        content_bytes(m.content) for m in after[1]
    ]


def test_one_content_of_many_messages_travels_once() -> None:
    batch = pack_messages(to_train())
    assert len(batch.records) == 1
    assert len(batch.head) < 2000
    other = pack_messages([*to_train()[:1], *to_train()[1:]])
    assert len(other.records) == 2
    again = unpack_messages(batch.head, batch.records)
    assert [m.metadata.dst_node_id for m in again] == [2, 3, 4]
    assert content_bytes(again[2].content) == content_bytes(to_train()[2].content)


def test_long_bytes_travel_beside_the_pickle_and_once() -> None:
    long, short = bytes(5000), bytes(50)
    payload = pack_object([long, short, {"again": long}])
    assert [part.nbytes for part in payload.parts] == [5000]
    assert len(payload.head) < 200
    assert payload.size == len(payload.head) + 5000
    assert unpack_object(payload) == [long, short, {"again": long}]


def test_arrays_without_bytes_travel_as_their_numbers() -> None:
    grid = np.arange(3000, dtype=np.float32).reshape(50, 60)
    record = as_array_record({"whole": grid, "turned": grid.T, "one": np.float64(3) * np.ones(())})
    payload = pack_object([record, record.copy()])
    assert [part.nbytes for part in payload.parts] == [grid.nbytes, grid.nbytes]
    assert not any(array.has_bytes for array in in_memory_of(record))
    there = unpack_object(payload)
    assert not any(array.has_bytes for arrived in there for array in in_memory_of(arrived))
    for arrived in there:
        assert content_bytes(RecordDict({"arrays": arrived})) == content_bytes(
            RecordDict({"arrays": record})
        )
    other = unpack_object(payload)
    values_of(other[0]["whole"])[0, 0] = 7
    assert payload.parts[0][0] == 0  # nothing of what arrives is the payload's


@pytest.mark.parametrize("known", [True, None])
def test_what_is_known_of_numbers_travels_with_them(known: bool | None) -> None:
    record = as_array_record({"a": np.ones(1000)}, finite=known)
    [array] = in_memory_of(unpack_object(pack_object(record)))
    assert array.known_finite is known


def in_memory_of(record: ArrayRecord) -> list[ArrayInMemory]:
    return [array for array in record.values() if isinstance(array, ArrayInMemory)]


def test_a_host_unpacks_what_it_is_sent_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unpackings: list[Payload] = []

    def counted(payload: Payload) -> Any:
        unpackings.append(payload)
        return unpack_object(payload)

    monkeypatch.setattr(actor, "unpack_object", counted)
    host, local = RayActor(), LocalGrid(app(), 3)
    host.load_app(pack_app(app())[0], 3, 1, [])
    host.restore(0, pack_object({}))
    del unpackings[:]
    first, second = to_train(1), to_train(2)
    for sent, expected in ((first[:2], 1), (first[2:], 1), (second, 2), (first[:1], 3)):
        ran = run(host, sent).answer
        assert [content_bytes(r.content) for r in ran] == [
            content_bytes(r.content) for r in local.send_and_receive(sent)
        ]
        assert len(unpackings) == expected
    host.load_app(pack_app(app())[0], 3, 1, [])  # another grid, whose numbers begin anew
    host.restore(0, pack_object({}))
    run(host, first[:1])
    assert len(unpackings) == 5


def test_large_arrays_of_an_app_are_shared_and_small_ones_are_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(LONG_ARRAY, dtype=np.float32))
    large = np.load(tmp_path / "x.npy", mmap_mode="r")
    small = np.arange(9)

    def mod(message: Any, context: Any, call_next: Any) -> Any:
        return large.sum() + small.sum()

    payload, stores = pack_app(app(mod))
    assert stores == ()
    assert large.nbytes in [part.nbytes for part in payload.parts]
    assert len(payload.head) < 100_000
    read_only = [part.copy() for part in payload.parts]
    for part in read_only:
        part.flags.writeable = False
    there = unpack_app(Payload(payload.head, tuple(read_only)), [])
    [arrived] = [m for m in there._mods if getattr(m, "__name__", "") == "mod"]
    assert arrived(None, None, None) == large.sum() + small.sum()


def test_an_app_that_cannot_be_loaded_is_told() -> None:
    payload = pack_app(app())[0]
    answer = RayActor().load_app(Payload(b"\x80\x04cno_such_module\nx\n.", payload.parts), 3, 1, [])
    assert answer == "ModuleNotFoundError: No module named 'no_such_module'"
