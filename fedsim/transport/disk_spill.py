"""Spilling the replies of a round to disk if they exceed a limit of memory.

A strategy needs all replies of a round at once, and reads them one after the other, in the order of
the participants. Replies beyond the limit are written to a file without a name, are read through
the page cache, and are deleted with the last array that refers to the file.
"""

import mmap
import os
import tempfile
import weakref

import numpy as np
from flwr.app import Array, ArrayRecord, Message

from fedsim.transport.lazy_arrays import LazyArray, byte_count
from fedsim.transport.npy_decoding import decode_array
from fedsim.transport.npy_encoding import Values, encode_npy, value_bytes

MEMORY = 256 * 2**20  # bytes of a round's replies that stay in memory


class _SpillFile:
    """A file without a name, which is closed with its last user."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="fedsim-")
        os.unlink(name)  # noqa: PTH108 - the name was a str, never a Path
        weakref.finalize(self, os.close, self._descriptor)
        self._length = 0

    def append(self, content: bytes | memoryview) -> int:
        """Append bytes to the file, and return their offset."""
        start, rest = self._length, memoryview(content)
        while rest:  # Linux writes at most 2 GiB at once
            written = os.pwrite(self._descriptor, rest, self._length)
            self._length += written
            rest = rest[written:]
        return start

    def look(self, start: int, length: int) -> memoryview:
        """Return a view of bytes in the file, which are read from the page cache on access."""
        if not length:
            return memoryview(b"")
        into = start % mmap.ALLOCATIONGRANULARITY
        size, offset = into + length, start - into
        mapped = mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ, offset=offset)
        return memoryview(mapped)[into:]


class SpilledArray(LazyArray):
    """An array whose content is in a file.

    An array that arrived as bytes is stored unchanged, valid or not; of others the values are.
    """

    def __init__(self, array: Array, file: _SpillFile) -> None:
        numbers = array if isinstance(array, LazyArray) else None
        content = array.data if numbers is None else value_bytes(numbers.as_values())
        self.__dict__.update(
            dtype=array.dtype,
            shape=array.shape,
            stype=array.stype,
            _finite=None if numbers is None else numbers.known_finite,
            _is_numbers=numbers is not None,
            _place=(file, file.append(content), len(content)),
        )

    def as_values(self) -> Values:
        """Return a view of the values in the file.

        Raises
        ------
        ValueError
            If the array came as bytes that cannot be read.
        """
        if self.__dict__["_is_numbers"]:
            return np.frombuffer(self._content(), self.dtype).reshape(self.shape)
        return decode_array(Array(self.dtype, self.shape, self.stype, self.data))

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The bytes of the .npy file, serialised or read on each access."""
        return (
            encode_npy(self.as_values()) if self.__dict__["_is_numbers"] else bytes(self._content())
        )

    def _content(self) -> memoryview:
        file, start, length = self.__dict__["_place"]
        content: memoryview = file.look(start, length)
        return content

    def __reduce__(self) -> tuple[object, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)


class DiskSpill:
    """Keeps the replies of a round, in memory up to a limit and in a file beyond it.

    Parameters
    ----------
    memory
        The number of bytes that stay in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._left = memory
        self._file: _SpillFile | None = None

    def take(self, reply: Message) -> None:
        """Move a reply's arrays into the file unless they fit into the memory that is left."""
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
