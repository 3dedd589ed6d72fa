"""A channel between two processes of ours: objects go in at one end and come out at the other.

Parameters are long `bytes`, and bytes that go through a socket are copied through its small buffer.
So long ones travel in a memory file: the sender copies them in, its descriptor goes through the
socket, and the receiver copies them out, straight into the `bytes` that Flower wants. Bytes that
occur in several objects that are sent together are copied in once. The memory has no name and is
gone when both ends have closed it, so nothing is left behind by a process that is killed.

Where both ends see a `BufferPool`, parameters that lie in it are not copied at all (see
`buffer_lending`).

Objects are pickled. Both ends are forks of one process and the socket has no name, so no other
pickles can come in.
"""

import io
import os
import pickle
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord

from fedsim.transport.buffer_lending import BufferBorrower, BufferLender, Ticket
from fedsim.transport.buffer_pool import Room
from fedsim.transport.flower_records import FastArrays

LONG = 1024  # bytes; shorter things go through the socket itself
# Of a socket. It holds a few packets only, so that a sender who is quicker than the receiver waits:
# what is under way takes little memory, and few of the descriptors that Linux lets be under way.
BUFFER = 8192
_PLACE = struct.Struct("<QQ")

MemoryPlace = tuple[int, int]


@dataclass(frozen=True)
class Channel:
    """One end of a channel."""

    socket: socket.socket
    lending: BufferLender | BufferBorrower | None = None

    def close(self) -> None:
        """Close this end; the other one's `receive` will raise an `EOFError`."""
        self.socket.close()

    def send(self, content: object) -> None:
        """Send an object; wait while the other end lags behind. See `send_all`."""
        send_all([(self, content)])

    def receive(self) -> Any:
        """Return the next object; wait for it.

        Raises
        ------
        EOFError, ConnectionResetError
            If the other end is closed.
        """
        # A packet comes whole, so a Ctrl-C cannot stop this in the middle of one.
        packet, descriptors, _, _ = socket.recv_fds(self.socket, LONG, 1)
        if not packet:
            raise EOFError("the other end of the channel is closed")
        if not descriptors:
            return _ChannelUnpickler(packet, None, self.lending).load()
        [memory] = descriptors
        try:
            head = _read(memory, _PLACE.unpack(packet))
            return _ChannelUnpickler(head, memory, self.lending).load()
        finally:
            os.close(memory)


def new_channel() -> tuple[Channel, Channel]:
    """Return the two ends of a channel."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return Channel(ends[0]), Channel(ends[1])


def send_all(sent: Iterable[tuple[Channel, object]]) -> int:
    """Send an object over each channel; bytes that are in several of them are copied once.

    A channel whose other end is closed is passed over; who waits for its answer will learn of it.

    Returns
    -------
    int
        How many bytes were copied into memory.
    """
    memory = _Memory()
    try:
        heads = [(channel, memory.packed(content, channel.lending)) for channel, content in sent]
        for channel, head in heads:
            with suppress(BrokenPipeError, ConnectionResetError):
                if isinstance(head, bytes):
                    channel.socket.sendall(head)
                else:
                    socket.send_fds(channel.socket, [_PLACE.pack(*head)], [memory.descriptor])
    finally:
        memory.close()
    return memory.length


class _Memory:
    """A memory file while it is filled."""

    def __init__(self) -> None:
        self.length = 0
        self._descriptor: int | None = None
        self._places: dict[
            int, MemoryPlace
        ] = {}  # by the id of bytes, which the sender keeps alive

    @property
    def descriptor(self) -> int:
        """The file, made when it is first wanted."""
        if self._descriptor is None:
            self._descriptor = os.memfd_create("fedsim")
        return self._descriptor

    def packed(
        self, content: object, lending: BufferLender | BufferBorrower | None
    ) -> bytes | MemoryPlace:
        """Return an object as bytes short enough for a packet, or where it is in this memory."""
        head = io.BytesIO()
        packer = _ChannelPickler(head, self, lending if isinstance(lending, BufferLender) else None)
        packer.dump(content)
        short = head.tell() <= LONG and not packer.placed
        return head.getvalue() if short else self._written(head.getbuffer())

    def place(self, content: bytes) -> MemoryPlace:
        """Return where these bytes are, put there if they are not yet."""
        if id(content) not in self._places:
            self._places[id(content)] = self._written(content)
        return self._places[id(content)]

    def close(self) -> None:
        """Let go of the file; who was sent its descriptor still has it."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _written(self, content: bytes | memoryview) -> MemoryPlace:
        place = (self.length, len(content))
        rest = memoryview(content)
        while rest:  # Linux writes at most 2 GiB at once
            written = os.pwrite(self.descriptor, rest, self.length)
            self.length += written
            rest = rest[written:]
        return place


class _ChannelPickler(pickle.Pickler):
    """Pickles an object, but for its long bytes, which it leaves to a memory, and what is lent."""

    def __init__(self, head: io.BytesIO, memory: _Memory, lender: BufferLender | None) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self._memory = memory
        self._lender = lender
        self.placed = 0

    def persistent_id(self, thing: object) -> MemoryPlace | Ticket | None:
        """Return where long bytes are, a ticket, or None for everything that is to be pickled."""
        # Asked of everything that is pickled, most of which is neither.
        if type(thing) is bytes and len(thing) >= LONG:
            self.placed += 1
            return self._memory.place(thing)
        if type(thing) is FastArrays and self._lender is not None:
            return self._lender.ticket(thing)
        return None


class _ChannelUnpickler(pickle.Unpickler):
    """Reads what a `_ChannelPickler` made."""

    def __init__(
        self, head: bytes, memory: int | None, lending: BufferLender | BufferBorrower | None
    ) -> None:
        super().__init__(io.BytesIO(head))
        self._memory = memory
        self._lending = lending

    def persistent_load(self, where: MemoryPlace | Ticket) -> bytes | ArrayRecord:
        """Return the long bytes at a place, or what a ticket is for."""
        if isinstance(where[0], Room):
            assert isinstance(self._lending, BufferBorrower)  # noqa: S101 - the other end is a lender
            return self._lending.record(where)
        assert self._memory is not None  # noqa: S101 - it came with the packet
        return _read(self._memory, where)


def _read(memory: int, place: MemoryPlace) -> bytes:
    offset, length = place
    parts = [os.pread(memory, length, offset)]
    while (have := sum(map(len, parts))) < length:  # Linux reads at most 2 GiB at once
        parts.append(os.pread(memory, length - have, offset + have))
    return parts[0] if len(parts) == 1 else b"".join(parts)
