"""Replies of a round that are too many for memory: in a file until somebody looks at them.

A strategy wants all replies of a round at once, and goes through them one after the other, in the
order of the participants. So what is beyond the memory that they may take is written to a file,
which has no name, is served again from the disk's cache, and is gone with the last array in it.
"""

import os
import tempfile
import weakref

from flwr.app import Array, ArrayRecord, Message

from fedsim.federation.arrays import length

MEMORY = 256 * 2**20  # bytes of replies that stay in memory in a round


class _File:
    """A file without a name, closed when nobody has it any more."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="fedsim-")
        os.unlink(name)  # noqa: PTH108 - it never was a path of ours
        weakref.finalize(self, os.close, self._descriptor)
        self._length = 0

    def append(self, content: bytes) -> int:
        """Return where bytes are, written at the end."""
        start, rest = self._length, memoryview(content)
        while rest:  # Linux writes at most 2 GiB at once
            written = os.pwrite(self._descriptor, rest, self._length)
            self._length += written
            rest = rest[written:]
        return start

    def read(self, start: int, length: int) -> bytes:
        """Return bytes."""
        parts = [os.pread(self._descriptor, length, start)]
        while (have := sum(map(len, parts))) < length:  # as above
            parts.append(os.pread(self._descriptor, length - have, start + have))
        return parts[0] if len(parts) == 1 else b"".join(parts)


class SpooledArray(Array):
    """An array whose bytes are in a file; each look at them reads them."""

    def __init__(self, array: Array, file: _File) -> None:
        data = array.data
        self.__dict__.update(
            dtype=array.dtype,
            shape=array.shape,
            stype=array.stype,
            _place=(file, file.append(data), len(data)),
        )

    @property
    def data(self) -> bytes:  # type: ignore[override]  # Flower's is an attribute
        """The bytes, read now."""
        file, start, length = self.__dict__["_place"]
        read: bytes = file.read(start, length)
        return read

    def deflate(self) -> bytes:
        """Return what Flower sends, under the name of its own class."""
        return Array(self.dtype, self.shape, self.stype, self.data).deflate()

    def __reduce__(self) -> tuple[object, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)


class Spool:
    """The replies of a round.

    Parameters
    ----------
    memory
        How many bytes of them stay in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._left = memory
        self._file: _File | None = None

    def take(self, reply: Message) -> None:
        """Put a reply's arrays into the file, unless there is memory for them."""
        if not reply.has_content():
            return
        for record in reply.content.values():
            if isinstance(record, ArrayRecord):
                self._take(record)

    def _take(self, record: ArrayRecord) -> None:
        size = sum(length(array) for array in record.values())
        if size <= self._left:
            self._left -= size
            return
        self._file = self._file or _File()
        for name, array in record.items():
            record[name] = SpooledArray(array, self._file)
