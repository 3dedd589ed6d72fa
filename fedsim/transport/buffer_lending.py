"""Parameters that a worker process shares with its parent without a copy.

They lie in a `BufferPool` that both sides see. The lender sends where; the borrower makes the same
arrays of it, and returns it when their last reader is gone.
"""

from collections import deque
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from fedsim.transport.buffer_pool import BufferPool, Room
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.lazy_arrays import ArrayInMemory

Ticket = tuple[Room, list[bool | None]]
"""Where a record's arrays lie, and of each of them whether it is known to be finite."""


@dataclass(frozen=True, eq=False)
class BufferLender:
    """The side that writes into the pool."""

    pool: BufferPool

    def ticket(self, record: ArrayRecord) -> Ticket | None:
        """Return a ticket for a record that is, as it is, an upload in the pool; else None."""
        finite: list[bool | None] = []
        room: Room | None = None
        for number, (name, array) in enumerate(record.items()):
            if not isinstance(array, ArrayInMemory) or array.lies is None:
                return None
            lies_in, as_number = array.lies
            room = room or lies_in
            expected = lies_in.layout.parts[as_number].name
            if lies_in is not room or as_number != number or expected != name:
                return None
            finite.append(array.known_finite)
        if room is None or len(finite) < len(room.layout.parts):
            return None
        self.pool.lend(room)
        return room, finite


@dataclass(frozen=True, eq=False)
class BufferBorrower:
    """The side that reads."""

    pool: BufferPool
    _dropped: "deque[int]" = field(default_factory=deque)

    def record(self, ticket: Ticket) -> ArrayRecord:
        """Return the record that a ticket is for."""
        room, known = ticket
        block = self.pool.borrowed(room, self._dropped)
        parts = zip(room.layout.parts, known, strict=True)
        return FastArrays(
            {p.name: ArrayInMemory(room.values(block, p), finite=finite) for p, finite in parts}
        )

    def dropped(self) -> list[int]:
        """Return what was dropped since last asked, to be returned to the lender."""
        return [self._dropped.popleft() for _ in range(len(self._dropped))]
