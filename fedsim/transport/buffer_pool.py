"""Memory for what participants upload, used again as soon as its last reader is gone.

The system clears every page that is fresh, and for many small participants that costs more than
their training. So uploads are laid into blocks of one mapping, one or several together, and a block
whose last reader is gone is given to others.

A mapping that is there before a process is forked is seen by both sides. So a process of ours lends
its uploads to its parent without a copy, and is notified when they were dropped.
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

MAP_NORESERVE = 0x4000  # Linux's; the mmap module of Python 3.11 has no name for it
LINE = 64  # bytes: what arrays are aligned to
WASTE = 2  # a free block serves what needs at least half of it

Bytes = NDArray[np.uint8]
What = TypeVar("What")


class Part(NamedTuple):
    """An array of an upload: its name, where it begins and its length in bytes, shape and type."""

    name: str
    start: int
    length: int
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class BufferLayout:
    """The arrays of an upload, one after the other: `size` bytes in all.

    In a block of several uploads each array is stacked: the first one of all of them comes first.
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
        """Return the arrays in the bytes of a block of uploads, (uploads, *shape) each."""
        begins = (uploads * part.start for part in self.parts)
        return [
            block[begin : begin + uploads * part.length]
            .view(getattr(torch, part.kind))
            .view(uploads, *part.shape)
            for begin, part in zip(begins, self.parts, strict=True)
        ]


class Room(NamedTuple):
    """Where an upload lies in a pool: in which block, and as which of how many there."""

    block: int
    offset: int
    row: int
    rows: int
    layout: BufferLayout

    def values(self, block: Bytes, part: Part) -> NDArray[np.generic]:
        """Return one of its arrays from the bytes of its block."""
        begin = self.rows * part.start + self.row * part.length
        return block[begin : begin + part.length].view(part.kind).reshape(part.shape)


@dataclass
class _Block:
    """A piece of the mapping, free while it has no users."""

    start: int
    size: int
    users: int = 0
    has_pages: bool = True


class BufferPool:
    """Blocks of memory that are used again; made by `of_machine`.

    One thread takes rooms in it; what else there is may be called from any.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._blocks: list[_Block] = []
        self._free: list[tuple[int, int]] = []  # sizes and numbers of blocks, sorted
        self._end = 0
        # Readers end anywhere, in the middle of anything, so it is only noted there.
        self._changes: deque[tuple[int, int]] = deque()

    @classmethod
    def of_machine(cls) -> "BufferPool | None":
        """Return one as large as can be; what is not written to takes no memory.

        None where the system has no such memory, or promises none that it does not have.
        """
        if not hasattr(mmap, "MADV_REMOVE"):  # Linux has it
            return None
        size = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        try:
            return cls(mmap.mmap(-1, size, flags=flags))
        except OSError:
            return None

    def block(self, uploads: int, layout: BufferLayout) -> tuple[Tensor, list[Room]] | None:
        """Return the bytes of a block, with anything in them, and where each upload lies in it.

        While one of them, or a view of one, is looked at, the memory of all stays theirs. None if
        there is no more room.
        """
        size = uploads * layout.size
        number = self._taken(size)
        if number is None:
            return None
        start = self._blocks[number].start
        taken = torch.from_numpy(self._seen(start, size, self._changes.append, (number, -1)))
        return taken, [Room(number, start, row, uploads, layout) for row in range(uploads)]

    def lend(self, room: Room) -> None:
        """Take note that an upload is looked at elsewhere, too, until it is `returned`."""
        self._changes.append((room.block, 1))

    def borrowed(self, room: Room, dropped: "deque[int]") -> Bytes:
        """Return the bytes of the block with an upload that another process lent.

        When their last reader is gone, its number is put into `dropped`, for the other
        process's `returned`.
        """
        size = room.rows * room.layout.size
        return self._seen(room.offset, size, dropped.append, room.block)

    def returned(self, blocks: Iterable[int]) -> None:
        """Take note that uploads in these blocks are not looked at elsewhere any more."""
        self._changes.extend((number, -1) for number in blocks)

    def _seen(self, start: int, size: int, notify: Callable[[What], None], what: What) -> Bytes:
        """Return `size` bytes; the pool is notified when nothing refers to them any more."""
        seen = np.frombuffer(self._memory, np.uint8, size, start)
        weakref.finalize(seen, notify, what).atexit = False  # views of it keep it alive
        return seen

    def _taken(self, size: int) -> int | None:
        """Return the number of a block of at least that many bytes, which has one user now."""
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
        """Give bytes of free blocks back to the system, so that a new one takes no more memory."""
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
    """Memory for several uploads of one layout: the arrays, (uploads, *shape), and where it is.

    `places`: of each upload; None where it lies in no pool.
    """

    tensors: list[Tensor]
    places: list[Room] | None


class Uploads:
    """What gives the uploads of a process their memory: its pool, or the system without one."""

    def __init__(self) -> None:
        self._pool: BufferPool | None = None
        self._process = 0

    def use_pool(self, pool: BufferPool | None) -> None:
        """Have them lie in this pool from now on; with None, in fresh memory."""
        self._pool, self._process = pool, os.getpid()

    def rooms(self, uploads: int, layout: BufferLayout) -> Rooms:
        """Return uninitialised memory for that many uploads; see `BufferPool.block`."""
        if self._process != os.getpid():  # a fork's uploads are not to lie over its parent's
            self.use_pool(BufferPool.of_machine())
        if self._pool is not None and layout.size:
            taken = self._pool.block(uploads, layout)
            if taken is not None:
                return Rooms(layout.stacked(taken[0], uploads), taken[1])
        fresh = torch.empty(uploads * layout.size, dtype=torch.uint8)
        return Rooms(layout.stacked(fresh, uploads), None)

    def __reduce__(self) -> tuple[type["Uploads"], tuple[()]]:
        return Uploads, ()  # elsewhere it begins anew
