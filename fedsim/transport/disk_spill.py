"""Replies of a round that are too many for memory: in a file until they are read.

A strategy wants all replies of a round at once, and goes through them one after the other, in the
order of the participants. So what is beyond the memory that they may take is written to a file,
which has no name, is served again from the disk's cache, and is gone with the last array in it.
"""

import mmap
import os
import tempfile
import weakref

import numpy as np
from flwr.app import Array, ArrayRecord, Message

from fedsim.transport.lazy_arrays import LazyArray, byte_count
from fedsim.transport.npy_decoding import decoded
from fedsim.transport.npy_encoding import Values, raw, serialised

MEMORY = 256 * 2**20  # bytes of replies that stay in memory in a round


class _SpillFile:
    """A file without a name, closed with its last user."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="fedsim-")
        os.unlink(name)  # noqa: PTH108 - it never was a path of ours
        weakref.finalize(self, os.close, self._descriptor)
        self._length = 0

    def append(self, content: bytes | memoryview) -> int:
        """Return where bytes are, written at the end."""
        start, rest = self._length, memoryview(content)
        while rest:  # Linux writes at most 2 GiB at once
            written = os.pwrite(self._descriptor, rest, self._length)
            self._length += written
            rest = rest[written:]
        return start

    def look(self, start: int, length: int) -> memoryview:
        """Return bytes; nothing is read before it is looked at, and then from the disk's cache."""
        if not length:
            return memoryview(b"")
        into = start % mmap.ALLOCATIONGRANULARITY
        size, offset = into + length, start - into
        mapped = mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ, offset=offset)
        return memoryview(mapped)[into:]


class SpilledArray(LazyArray):
    """An array that is in a file.

    What came as bytes is kept as it came, whatever it is; of other arrays the numbers are.
    """

    def __init__(self, array: Array, file: _SpillFile) -> None:
        numbers = array if isinstance(array, LazyArray) else None
        content = array.data if numbers is None else raw(numbers.as_values())
        self.__dict__.update(
            dtype=array.dtype,
            shape=array.shape,
            stype=array.stype,
            _finite=None if numbers is None else numbers.known_finite,
            _is_numbers=numbers is not None,
            _place=(file, file.append(content), len(content)),
        )

    def as_values(self) -> Values:
        """Return the values, in the file.

        Raises
        ------
        ValueError
            If the array came as bytes that cannot be read.
        """
        if self.__dict__["_is_numbers"]:
            return np.frombuffer(self._content(), self.dtype).reshape(self.shape)
        return decoded(Array(self.dtype, self.shape, self.stype, self.data))

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The bytes of the .npy file, made or read now."""
        return (
            serialised(self.as_values()) if self.__dict__["_is_numbers"] else bytes(self._content())
        )

    def _content(self) -> memoryview:
        file, start, length = self.__dict__["_place"]
        content: memoryview = file.look(start, length)
        return content

    def __reduce__(self) -> tuple[object, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)


class DiskSpill:
    """The replies of a round.

    Parameters
    ----------
    memory
        How many bytes of them stay in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._left = memory
        self._file: _SpillFile | None = None

    def take(self, reply: Message) -> None:
        """Put a reply's arrays into the file, unless there is memory for them."""
        if not reply.has_content():
            return
        for record in reply.content.values():
            if isinstance(record, ArrayRecord):
                self._take(record)

    def _take(self, record: ArrayRecord) -> None:
        size = sum(byte_count(array) for array in record.values())
        if size <= self._left:
            self._left -= size
            return
        self._file = self._file or _SpillFile()
        for name, array in record.items():
            record[name] = SpilledArray(array, self._file)
