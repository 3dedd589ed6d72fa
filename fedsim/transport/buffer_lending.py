"""Parameters that a worker process shares with its parent without a copy.

The parameters are in a `BufferPool` that both processes have mapped. The lender sends their place;
the borrower makes arrays of the memory there, and returns it after the last reference has gone.
"""

from collections import deque
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from fedsim.transport.buffer_pool import BufferPool, Room
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.lazy_arrays import ArrayInMemory

Ticket = tuple[Room, list[bool | None]]
"""The place of a record's arrays, and for each array whether it is known to be finite."""


@dataclass(frozen=True, eq=False)
class BufferLender:
    """Lends uploads: the process that writes into the pool."""

    pool: BufferPool

    def ticket(self, record: ArrayRecord) -> Ticket | None:
        """Return a ticket for a record that is an unchanged upload in the pool; None otherwise."""
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
    """Borrows uploads: the process that reads from the pool."""

    pool: BufferPool
    _dropped: "deque[int]" = field(default_factory=deque)

    def record(self, ticket: Ticket) -> ArrayRecord:
        """Return the record that a ticket refers to."""
        room, known = ticket
        block = self.pool.borrowed(room, self._dropped)
        parts = zip(room.layout.parts, known, strict=True)
        return FastArrays(
            {p.name: ArrayInMemory(room.values(block, p), finite=finite) for p, finite in parts}
        )

    def dropped(self) -> list[int]:
        """Return the numbers of the blocks released since the last call, for the lender."""
        return [self._dropped.popleft() for _ in range(len(self._dropped))]
