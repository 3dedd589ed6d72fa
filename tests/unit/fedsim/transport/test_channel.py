"""The channel between two processes: what goes in comes out, long bytes through shared memory."""

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import toys
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from fedsim.transport.channel import LONG, Channel, new_channel, send_all


def content(values: int) -> RecordDict:
    arrays = ArrayRecord({"w": Array(np.arange(values, dtype=np.float32)), "b": Array(np.ones(2))})
    return RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 7})})


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the number is wanted


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ends = new_channel()
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize("thing", [None, "word", ("a", 1), "x" * 5000, b"y" * 5000, [b"z" * LONG]])
def test_what_goes_in_comes_out(ends: tuple[Channel, Channel], thing: object) -> None:
    ends[0].send(thing)
    ends[0].send("next")
    assert ends[1].receive() == thing
    assert ends[1].receive() == "next"


@pytest.mark.usefixtures("flower")
def test_messages_come_whole_and_leave_no_descriptor(ends: tuple[Channel, Channel]) -> None:
    before = open_descriptors()
    message = Message(content(10_000), 5, "train", group_id="1")
    ends[0].send(message)
    came = ends[1].receive()
    assert came.metadata == message.metadata
    assert toys.content_bytes(came.content) == toys.content_bytes(message.content)
    ends[1].send(Message(Error(2, "no"), reply_to=came))
    assert ends[0].receive().error.reason == "no"
    assert open_descriptors() == before


@pytest.mark.usefixtures("flower")
def test_parameters_are_copied_once_for_all() -> None:
    channels = [new_channel() for _ in range(3)]
    shared = content(100_000)
    sent = [(ours, [Message(shared, node, "train") for node in (2, 3)]) for ours, _ in channels]
    copied = send_all(sent)
    assert 400_000 < copied < 405_000
    for _, theirs in channels:
        first, second = theirs.receive()
        assert first.content is second.content
        assert toys.content_bytes(first.content) == toys.content_bytes(shared)
    assert send_all([(channels[0][0], "short")]) == 0
    for ours, theirs in channels:
        ours.close()
        theirs.close()


def test_a_sender_waits_for_a_receiver_that_lags(ends: tuple[Channel, Channel]) -> None:
    many = 2000
    numbers = [bytes([n % 256]) * (2 * LONG) for n in range(many)]
    before = open_descriptors()
    sender = threading.Thread(target=lambda: [ends[0].send(n) for n in numbers], daemon=True)
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    assert [ends[1].receive() for _ in range(many)] == numbers
    sender.join()
    assert open_descriptors() == before


def test_a_closed_end_is_told_to_the_other(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(1)
    ends[0].close()
    ends[1].send("nobody hears this")
    assert ends[1].receive() == 1
    with pytest.raises(EOFError):
        ends[1].receive()
