"""Parameters that go from process to process without a copy, and only where that is the same."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord

from fedsim.transport.buffer_lending import BufferBorrower, BufferLender
from fedsim.transport.buffer_pool import BufferLayout, BufferPool, Uploads
from fedsim.transport.channel import Channel, new_channel
from fedsim.transport.lazy_arrays import ArrayInMemory, as_array_record, values_of

SHAPES = {
    "w": torch.zeros(40, 30),
    "v": torch.zeros(40, 30),
    "n": torch.zeros((), dtype=torch.int64),
}


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """The two ends of a channel whose processes see one pool; here both are this process."""
    pool = BufferPool.of_machine()
    assert pool is not None
    ours, theirs = new_channel()
    yield replace(ours, lending=BufferLender(pool)), replace(theirs, lending=BufferBorrower(pool))
    ours.close()
    theirs.close()


def upload(pool: BufferPool, value: int, finite: bool | None = None) -> ArrayRecord:
    uploads = Uploads()
    uploads.use_pool(pool)
    rooms = uploads.rooms(2, BufferLayout.of(SHAPES))
    assert rooms.places is not None
    for number, tensor in enumerate(rooms.tensors):
        tensor.fill_(value + number)
    named = {name: t.numpy()[1, ...] for name, t in zip(SHAPES, rooms.tensors, strict=True)}
    return as_array_record(named, finite=finite, room=rooms.places[1])


def is_same_memory(left: ArrayRecord, right: ArrayRecord) -> bool:
    return all(np.shares_memory(values_of(left[name]), values_of(right[name])) for name in left)


def test_an_upload_arrives_as_it_was_sent_in_the_same_memory(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert isinstance(ours.lending, BufferLender)
    sent = upload(ours.lending.pool, 5, finite=True)
    ours.send([sent, "and more"])
    came, more = theirs.receive()
    assert (more, list(came)) == ("and more", ["w", "v", "n"])
    assert is_same_memory(sent, came)
    known = [a.known_finite for a in came.values() if isinstance(a, ArrayInMemory)]
    assert known == [True] * 3
    assert toys.arrays_equal(came, sent)


@pytest.mark.parametrize(
    "change", ["swapped", "renamed", "one of another", "one less", "serialised"]
)
def test_what_is_not_an_upload_as_it_is_travels_as_bytes(
    ends: tuple[Channel, Channel], change: str
) -> None:
    ours, theirs = ends
    assert isinstance(ours.lending, BufferLender)
    one, two = (upload(ours.lending.pool, value) for value in (5, 9))
    records = {
        "swapped": {"w": one["v"], "v": one["w"], "n": one["n"]},
        "renamed": {"w": one["w"], "x": one["v"], "n": one["n"]},
        "one of another": {"w": one["w"], "v": two["v"], "n": one["n"]},
        "one less": {"w": one["w"], "v": one["v"]},
        "serialised": dict(one),
    }
    sent = ArrayRecord()
    for name, array in records[change].items():
        sent[name] = array
    if change == "serialised":
        assert sent["w"].data
    ours.send(sent)
    came = theirs.receive()
    assert not is_same_memory(sent, came)
    assert toys.arrays_equal(came, sent)


def test_what_was_dropped_is_returned_once(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert isinstance(ours.lending, BufferLender)
    assert isinstance(theirs.lending, BufferBorrower)
    sent = [upload(ours.lending.pool, value) for value in (1, 2)]
    ours.send(sent)
    came = theirs.receive()
    kept = came.pop()
    assert theirs.lending.dropped() == []
    came.clear()
    assert theirs.lending.dropped() == [0]
    assert theirs.lending.dropped() == []
    assert values_of(kept["w"])[0, 0] == 2
