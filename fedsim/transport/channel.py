"""A channel between two processes, over which they send each other objects.

Parameters are long `bytes`, and a socket copies bytes through its small buffer. Long bytes are
therefore sent in a memory file: the sender copies them into the file, sends the file's descriptor
through the socket, and the receiver copies them into the `bytes` that Flower needs. Bytes that
occur in several objects sent together are copied into the file once. The file has no name and
disappears when both ends have closed it, so a killed process leaves nothing behind.

If both ends have mapped a `BufferPool`, parameters in it are not copied at all (see
`buffer_lending`).

Objects are pickled. Both ends are forks of one process and the socket has no name, so no pickle
can come from anywhere else.
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

LONG = 1024  # bytes; shorter objects are sent through the socket itself
# Buffer size of a socket. It holds only a few packets, so that a fast sender waits for the
# receiver: this limits the memory of unread messages, and their descriptors, which Linux limits.
BUFFER = 8192
_PLACE = struct.Struct("<QQ")

MemoryPlace = tuple[int, int]


@dataclass(frozen=True)
class Channel:
    """One end of a channel."""

    socket: socket.socket
    lending: BufferLender | BufferBorrower | None = None

    def close(self) -> None:
        """Close this end; `receive` of the other end will raise an `EOFError`."""
        self.socket.close()

    def send(self, content: object) -> None:
        """Send an object; wait while the buffer is full. See `send_all`."""
        send_all([(self, content)])

    def receive(self) -> Any:
        """Wait for the next object and return it.

        Raises
        ------
        EOFError, ConnectionResetError
            If the other end is closed.
        """
        # Packets are received whole, so a Ctrl-C cannot interrupt this in the middle of one.
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
    """Send an object over each channel; bytes that occur in several objects are copied once.

    A channel whose other end is closed is skipped; `receive` on it will raise an error.

    Returns
    -------
    int
        The number of bytes copied into memory.
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
    """A memory file that is being filled."""

    def __init__(self) -> None:
        self.length = 0
        self._descriptor: int | None = None
        self._places: dict[
            int, MemoryPlace
        ] = {}  # by the object id of bytes, which the sender keeps alive

    @property
    def descriptor(self) -> int:
        """The file's descriptor; the file is made on first access."""
        if self._descriptor is None:
            self._descriptor = os.memfd_create("fedsim")
        return self._descriptor

    def packed(
        self, content: object, lending: BufferLender | BufferBorrower | None
    ) -> bytes | MemoryPlace:
        """Return an object as bytes short enough for a packet, or its place in this memory."""
        head = io.BytesIO()
        packer = _ChannelPickler(head, self, lending if isinstance(lending, BufferLender) else None)
        packer.dump(content)
        short = head.tell() <= LONG and not packer.placed
        return head.getvalue() if short else self._written(head.getbuffer())

    def place(self, content: bytes) -> MemoryPlace:
        """Return the place of bytes in this memory, after writing them if necessary."""
        if id(content) not in self._places:
            self._places[id(content)] = self._written(content)
        return self._places[id(content)]

    def close(self) -> None:
        """Close the file; receivers of its descriptor still have it open."""
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
    """Pickles an object; its long bytes go into a memory file, and lent records become tickets."""

    def __init__(self, head: io.BytesIO, memory: _Memory, lender: BufferLender | None) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self._memory = memory
        self._lender = lender
        self.placed = 0

    def persistent_id(self, thing: object) -> MemoryPlace | Ticket | None:
        """Return the place of long bytes, a ticket, or None for objects that are pickled."""
        # Called for every object that is pickled; most are of neither kind, so the test is cheap.
        if type(thing) is bytes and len(thing) >= LONG:
            self.placed += 1
            return self._memory.place(thing)
        if type(thing) is FastArrays and self._lender is not None:
            return self._lender.ticket(thing)
        return None


class _ChannelUnpickler(pickle.Unpickler):
    """Unpickles the output of a `_ChannelPickler`."""

    def __init__(
        self, head: bytes, memory: int | None, lending: BufferLender | BufferBorrower | None
    ) -> None:
        super().__init__(io.BytesIO(head))
        self._memory = memory
        self._lending = lending

    def persistent_load(self, where: MemoryPlace | Ticket) -> bytes | ArrayRecord:
        """Return the long bytes at a place, or the record of a ticket."""
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
