"""Replies beyond the memory that they may take: the same bytes, from a file."""

import pickle

import numpy as np
import pytest
import toys
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict

from fedsim.engines.spool import Spool, SpooledArray
from fedsim.federation.arrays import seen

pytestmark = pytest.mark.usefixtures("flower")


def replies(count: int) -> list[Message]:
    asked = Message(RecordDict(), 2, "train")
    values = (np.full((3, 5), number, np.float32) for number in range(count))
    records = (ArrayRecord({"w": Array(v), "b": Array(v[0])}) for v in values)
    return [Message(RecordDict({"arrays": r}), reply_to=asked) for r in records]


def test_what_is_beyond_the_memory_is_read_from_a_file() -> None:
    here, spooled = replies(5), replies(5)
    size = sum(len(array.data) for array in here[0].content["arrays"].values())
    spool = Spool(2 * size)
    for reply in spooled:
        spool.take(reply)
    kinds = [type(reply.content["arrays"]["w"]) for reply in spooled]
    assert kinds == [Array] * 2 + [SpooledArray] * 3
    assert [toys.raw(r.content) for r in spooled] == [toys.raw(r.content) for r in here]


def test_a_spooled_array_is_an_array_of_flower_s() -> None:
    [message] = replies(1)
    plain = message.content["arrays"]["w"]
    Spool(0).take(message)
    array = message.content["arrays"]["w"]
    assert isinstance(array, SpooledArray)
    assert (array.numpy() == plain.numpy()).all()
    assert (seen(array) == plain.numpy()).all()
    array.numpy()[0] = 7  # a copy
    assert array.data == plain.data
    assert array.deflate() == plain.deflate()
    assert pickle.loads(pickle.dumps(array)) == plain  # noqa: S301 - made in this line
    record = ArrayRecord(dict(message.content["arrays"]))
    assert record["w"].data == plain.data
    assert "data" not in vars(array)


def test_a_reply_without_arrays_is_left_alone() -> None:
    asked = Message(RecordDict(), 2, "train")
    failed = Message(Error(2, "x"), reply_to=asked)
    Spool(0).take(failed)
    assert failed.error.reason == "x"
