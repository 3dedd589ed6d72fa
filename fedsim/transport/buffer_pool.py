"""A pool of memory for participants' uploads, reused as soon as the last reference has gone.

The operating system clears every new page, which for many small participants takes longer than
their training. Uploads are therefore written into blocks of one mapping, one or several in a block,
and a block without references is reused.

A mapping that exists before a process is forked is visible to both processes. A worker process
therefore lends its uploads to its parent without a copy, and is notified when they are released.
"""

import mmap
import os
import weakref
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAP_NORESERVE = 0x4000  # Linux's value; the mmap module of Python 3.11 has no name for it
LINE = 64  # bytes: the alignment of arrays
WASTE = 2  # a free block is used for uploads that need at least half of it

Bytes = NDArray[np.uint8]
What = TypeVar("What")


class Part(NamedTuple):
    """An array of an upload: name, offset and length in bytes, shape and type."""

    name: str
    start: int
    length: int
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class BufferLayout:
    """The arrays of an upload, in consecutive memory of `size` bytes.

    In a block of several uploads each array is stacked: the first array of all uploads comes first.
    """

    parts: tuple[Part, ...]
    size: int

    @classmethod
    def of(cls, values: Mapping[str, Tensor]) -> "BufferLayout":
        """Return the layout of arrays like these."""
        parts, start = [], 0
        for name, value in values.items():
            length = value.numel() * value.element_size()
            kind = str(value.dtype).removeprefix("torch.")
            parts.append(Part(name, start, length, tuple(value.shape), kind))
            start += -(-length // LINE) * LINE
        return cls(tuple(parts), start)

    def stacked(self, block: Tensor, uploads: int) -> list[Tensor]:
        """Return the stacked arrays in a block of uploads, (uploads, *shape) each."""
        begins = (uploads * part.start for part in self.parts)
        return [
            block[begin : begin + uploads * part.length]
            .view(getattr(torch, part.kind))
            .view(uploads, *part.shape)
            for begin, part in zip(begins, self.parts, strict=True)
        ]


class Room(NamedTuple):
    """The place of an upload in a pool: its block, and its index among the block's uploads."""

    block: int
    offset: int
    row: int
    rows: int
    layout: BufferLayout

    def values(self, block: Bytes, part: Part) -> NDArray[np.generic]:
        """Return one of the upload's arrays from the bytes of its block."""
        begin = self.rows * part.start + self.row * part.length
        return block[begin : begin + part.length].view(part.kind).reshape(part.shape)


@dataclass
class _Block:
    """A block of the mapping, free while it has no users."""

    start: int
    size: int
    users: int = 0
    has_pages: bool = True


class BufferPool:
    """Blocks of memory that are reused; made by `of_machine`.

    Only one thread may call `block`; the other methods may be called from any thread.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._blocks: list[_Block] = []
        self._free: list[tuple[int, int]] = []  # sizes and numbers of blocks, sorted
        self._end = 0
        # Finalizers run at any point of any thread, so they only append to these queues.
        self._changes: deque[tuple[int, int]] = deque()

    @classmethod
    def of_machine(cls) -> "BufferPool | None":
        """Return a pool as large as possible; pages that are not written take no memory.

        None if the system does not support this, or does not overcommit memory.
        """
        if not hasattr(mmap, "MADV_REMOVE"):  # exists on Linux only
            return None
        size = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        try:
            return cls(mmap.mmap(-1, size, flags=flags))
        except OSError:
            return None

    def block(self, uploads: int, layout: BufferLayout) -> tuple[Tensor, list[Room]] | None:
        """Return an uninitialised block, and the place of each upload in it.

        The block is reused once no upload in it, and no view of one, is referenced. None if the
        pool has no more room.
        """
        size = uploads * layout.size
        number = self._taken(size)
        if number is None:
            return None
        start = self._blocks[number].start
        taken = torch.from_numpy(self._seen(start, size, self._changes.append, (number, -1)))
        return taken, [Room(number, start, row, uploads, layout) for row in range(uploads)]

    def lend(self, room: Room) -> None:
        """Mark an upload as used by another process, until it is `returned`."""
        self._changes.append((room.block, 1))

    def borrowed(self, room: Room, dropped: "deque[int]") -> Bytes:
        """Return the bytes of the block with an upload that another process lent.

        After the last reference to them has gone, the block's number is put into `dropped`, for
        `returned` of the other process.
        """
        size = room.rows * room.layout.size
        return self._seen(room.offset, size, dropped.append, room.block)

    def returned(self, blocks: Iterable[int]) -> None:
        """Mark uploads in these blocks as no longer used by another process."""
        self._changes.extend((number, -1) for number in blocks)

    def _seen(self, start: int, size: int, notify: Callable[[What], None], what: What) -> Bytes:
        """Return `size` bytes; `notify` is called when nothing refers to them any more."""
        seen = np.frombuffer(self._memory, np.uint8, size, start)
        weakref.finalize(seen, notify, what).atexit = False  # views of it keep it alive
        return seen

    def _taken(self, size: int) -> int | None:
        """Return the number of a block of at least `size` bytes, which now has one user."""
        self._note_changes()
        size = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        place = bisect_right(self._free, (size, -1))
        if place < len(self._free) and self._free[place][0] <= WASTE * size:
            number = self._free.pop(place)[1]
        elif self._end + size <= len(self._memory):
            self._give_back_pages(size)
            number = len(self._blocks)
            self._blocks.append(_Block(self._end, size))
            self._end += size
        else:
            return None
        block = self._blocks[number]
        block.users, block.has_pages = 1, True
        return number

    def _note_changes(self) -> None:
        while self._changes:
            number, change = self._changes.popleft()
            block = self._blocks[number]
            block.users += change
            if not block.users:
                insort(self._free, (block.size, number))

    def _give_back_pages(self, size: int) -> None:
        """Return `size` bytes of free blocks to the system, so that memory use does not grow."""
        for _, number in reversed(self._free):
            if size <= 0:
                return
            block = self._blocks[number]
            if block.has_pages:
                self._memory.madvise(mmap.MADV_REMOVE, block.start, block.size)
                block.has_pages = False
                size -= block.size


@dataclass(frozen=True)
class Rooms:
    """Memory for several uploads of one layout: the arrays, (uploads, *shape), and their places.

    `places` has the place of each upload; None if the memory is not in a pool.
    """

    tensors: list[Tensor]
    places: list[Room] | None


class Uploads:
    """Allocates memory for the uploads of a process, in its pool or, without one, by the system."""

    def __init__(self) -> None:
        self._pool: BufferPool | None = None
        self._process = 0

    def use_pool(self, pool: BufferPool | None) -> None:
        """Allocate in this pool from now on; with None, allocate new memory."""
        self._pool, self._process = pool, os.getpid()

    def rooms(self, uploads: int, layout: BufferLayout) -> Rooms:
        """Return uninitialised memory for a number of uploads; see `BufferPool.block`."""
        if self._process != os.getpid():  # a fork must not overwrite its parent's uploads
            self.use_pool(BufferPool.of_machine())
        if self._pool is not None and layout.size:
            taken = self._pool.block(uploads, layout)
            if taken is not None:
                return Rooms(layout.stacked(taken[0], uploads), taken[1])
        fresh = torch.empty(uploads * layout.size, dtype=torch.uint8)
        return Rooms(layout.stacked(fresh, uploads), None)

    def __reduce__(self) -> tuple[type["Uploads"], tuple[()]]:
        return Uploads, ()  # another process starts without a pool
