"""Serialisation between the driver and the processes of a Ray cluster.

Ray copies into its object store what it is given, and maps it into the processes of a node without
a copy where it is an array. So everything long travels as arrays beside a short pickle: the data
set once for the whole cluster, parameters once a round, replies once each.

Objects are pickled, as everything is that Ray carries: anyone who can reach a cluster's ports can
run code in it anyway.
"""

import io
import pickle
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ArrayRecord, Message
from numpy.typing import NDArray

from fedsim.observation.keys import SnapshotKey
from fedsim.transport.lazy_arrays import ArrayInMemory
from fedsim.transport.npy_encoding import Values

LONG = 1024  # bytes; what is shorter stays in the pickle

Bytes = NDArray[np.uint8]
ArrayPlace = tuple[int, str, tuple[int, ...]]
"""Where a long array is: its place, its type and its shape."""


class Payload(NamedTuple):
    """An object on its way: a pickle, and its long parts beside it."""

    head: bytes
    parts: tuple[Bytes, ...]

    @property
    def size(self) -> int:
        """How many bytes it has in all."""
        return len(self.head) + sum(part.nbytes for part in self.parts)


class MessageBatch(NamedTuple):
    """Messages on their way: without their parameters, and each set of parameters once."""

    head: bytes
    records: tuple[ArrayRecord, ...]


class KeptArrays(NamedTuple):
    """A snapshot that a dishonest participant keeps in the store of that number."""

    store: int
    round: int
    key: SnapshotKey
    arrays: ArrayRecord


class Ran(NamedTuple):
    """The result of a batch: its replies or an error, and what was kept beside them."""

    answer: list[Message] | Exception
    kept: list[KeptArrays]


def pack_object(thing: object) -> Payload:
    """Return an object as a payload; what is long and occurs in it several times travels once."""
    head = io.BytesIO()
    packer = _PayloadPickler(head)
    packer.dump(thing)
    return Payload(head.getvalue(), tuple(packer.parts))


def unpack_object(payload: Payload) -> Any:
    """Return what was packed; nothing of it needs the payload any more."""
    return _PayloadUnpickler(payload).load()


def batch_of(messages: Iterable[Message]) -> MessageBatch:
    """Return messages as a batch; see `key_of` for which parameters are the same."""
    head = io.BytesIO()
    packer = _MessagePacker(head)
    packer.dump(list(messages))
    return MessageBatch(head.getvalue(), tuple(packer.records.values()))


def messages_of(head: bytes, records: Sequence[ArrayRecord]) -> list[Message]:
    """Return the messages of a batch."""
    return _MessageUnpacker(head, records).load()  # type: ignore[no-any-return]


def key_of(record: ArrayRecord) -> tuple[object, ...]:
    """Return what parameters have in common that are the same: names, and the very same arrays.

    It holds for as long as the arrays are there. A strategy puts one record into all messages of a
    round.
    """
    return tuple((name, id(array)) for name, array in record.items())


class _PayloadPickler(pickle.Pickler):
    """Pickles an object but for its long parts; arrays without bytes yet travel as numbers."""

    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self.parts: list[Bytes] = []
        self._places: dict[int, int] = {}  # by the id of what `parts` keeps alive

    def reducer_override(self, thing: object) -> Any:
        """Take the numbers of an array that has no bytes yet: making them would copy it."""
        if type(thing) is ArrayInMemory and not thing.has_bytes:
            return _arrived, (np.asarray(thing.as_values(), order="C"), thing.known_finite)
        return NotImplemented

    def persistent_id(self, thing: object) -> int | ArrayPlace | None:
        """Return where long bytes or numbers are, and None for everything that is to be pickled."""
        if type(thing) is bytes and len(thing) >= LONG:
            return self._place(thing, np.frombuffer(thing, np.uint8))
        if type(thing) is np.ndarray and thing.nbytes >= LONG and _is_plain(thing):
            place = self._place(thing, thing.reshape(-1).view(np.uint8))
            return place, thing.dtype.str, thing.shape
        return None

    def _place(self, thing: object, part: Bytes) -> int:
        if id(thing) not in self._places:
            self._places[id(thing)] = len(self.parts)
            self.parts.append(part)
        return self._places[id(thing)]


class _PayloadUnpickler(pickle.Unpickler):
    def __init__(self, payload: Payload) -> None:
        super().__init__(io.BytesIO(payload.head))
        self._parts = payload.parts
        self._copies: dict[int, bytes] = {}

    def persistent_load(self, where: int | ArrayPlace) -> bytes | Values:
        """Return a copy of what is there; the same object for the same bytes."""
        if isinstance(where, tuple):
            place, kind, shape = where
            return self._parts[place].copy().view(kind).reshape(shape)
        if where not in self._copies:
            self._copies[where] = self._parts[where].tobytes()
        return self._copies[where]


def _is_plain(values: Values) -> bool:
    """Return whether an array is all there in its bytes, its type's name and its shape."""
    return values.dtype.isbuiltin == 1 and not values.dtype.hasobject and values.flags.c_contiguous


def _arrived(values: Values, finite: bool | None) -> ArrayInMemory:
    return ArrayInMemory(values, finite=finite)


class _MessagePacker(pickle.Pickler):
    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self.records: dict[tuple[object, ...], ArrayRecord] = {}

    def persistent_id(self, thing: object) -> int | None:
        """Return which of the batch's sets of parameters this is, and None for anything else."""
        if not isinstance(thing, ArrayRecord):
            return None
        key = key_of(thing)
        self.records.setdefault(key, thing)
        return list(self.records).index(key)


class _MessageUnpacker(pickle.Unpickler):
    def __init__(self, head: bytes, records: Sequence[ArrayRecord]) -> None:
        super().__init__(io.BytesIO(head))
        self._records = records

    def persistent_load(self, number: int) -> ArrayRecord:
        """Return the parameters of that number, which messages may share."""
        return self._records[number]
