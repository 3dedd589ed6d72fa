"""Replies beyond the memory that they may take: the same bytes, from a file."""

import pickle
from typing import Any

import numpy as np
import pytest
from any_arrays import ANY
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from toys import content_bytes

from fedsim.transport.disk_spill import DiskSpill, SpilledArray
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.lazy_arrays import ArrayInMemory, byte_count, is_finite, values_of

pytestmark = pytest.mark.usefixtures("flower")


def replies(count: int, made: type[Array] = Array) -> list[Message]:
    asked = Message(RecordDict(), 2, "train")
    values = (np.full((3, 5), number, np.float32) for number in range(count))
    records = (FastArrays({"w": made(v), "b": made(v[0])}) for v in values)
    return [Message(RecordDict({"arrays": r}), reply_to=asked) for r in records]


def spooled(*arrays: Array) -> list[Array]:
    """Return arrays as they are after they went into a file."""
    record = FastArrays({str(number): array for number, array in enumerate(arrays)})
    message = Message(RecordDict({"arrays": record}), 2, "train")
    DiskSpill(-1).take(message)  # not even what is empty stays in memory
    assert all(type(array) is SpilledArray for array in record.values())
    return list(record.values())


@pytest.mark.parametrize("made", [Array, ArrayInMemory])
def test_what_is_beyond_the_memory_is_read_from_a_file(made: type[Array]) -> None:
    here, there = replies(5, made), replies(5, made)
    size = sum(byte_count(array) for array in here[0].content["arrays"].values())
    spool = DiskSpill(2 * size)
    for reply in there:
        spool.take(reply)
    kinds = [type(reply.content["arrays"]["w"]) for reply in there]
    assert kinds == [made] * 2 + [SpilledArray] * 3
    assert [content_bytes(r.content) for r in there] == [content_bytes(r.content) for r in here]


@pytest.mark.parametrize("made", [Array, ArrayInMemory])
def test_a_spooled_array_is_an_array_of_flower_s(made: type[Array]) -> None:
    [message] = replies(1, made)
    plain = replies(1)[0].content["arrays"]["w"]
    DiskSpill(0).take(message)
    array = message.content["arrays"]["w"]
    assert isinstance(array, SpilledArray)
    assert (array.numpy() == plain.numpy()).all()
    assert (values_of(array) == plain.numpy()).all()
    array.numpy()[0] = 7  # a copy
    assert array.data == plain.data
    assert array.deflate() == plain.deflate()
    assert pickle.loads(pickle.dumps(array)) == plain  # noqa: S301 - made in this line
    record = ArrayRecord(dict(message.content["arrays"]))
    assert record["w"].data == plain.data
    assert "data" not in vars(array)


@pytest.mark.parametrize("known", [True, False, None])
def test_what_is_known_of_its_values_is_not_forgotten(
    known: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = np.array([1, np.inf if known is False else 2])
    [array] = spooled(ArrayInMemory(held, finite=known))
    looks: list[object] = []
    read = SpilledArray.as_values
    monkeypatch.setattr(SpilledArray, "as_values", lambda self: looks.append(self) or read(self))
    assert is_finite(array) == is_finite(array) == (known is not False)
    assert len(looks) == (known is None)


def test_bytes_that_are_no_array_are_kept_until_somebody_looks() -> None:
    [array] = spooled(Array("float32", (3,), "numpy.ndarray", b"junk"))
    assert array.data == b"junk"
    with pytest.raises(ValueError, match="does not begin as an array"):
        values_of(array)


@given(st.lists(ANY, min_size=1, max_size=4))
def test_any_numbers_come_back_from_wherever_they_lie(held: list[Any]) -> None:
    there = spooled(*map(ArrayInMemory, held))
    for array, values in zip(there, held, strict=True):
        np.testing.assert_array_equal(values_of(array), values)
        assert array.numpy().dtype == values.dtype
        assert array.data == Array(values).data


def test_a_reply_without_arrays_is_left_alone() -> None:
    asked = Message(RecordDict(), 2, "train")
    failed = Message(Error(2, "x"), reply_to=asked)
    DiskSpill(0).take(failed)
    assert failed.error.reason == "x"
