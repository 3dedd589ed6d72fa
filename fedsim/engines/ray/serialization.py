"""Serialisation between the driver and the processes of a Ray cluster.

Ray copies objects into its object store, and maps arrays into the processes of a node without a
copy. Everything long is therefore sent as arrays beside a short pickle: the data set once for the
whole cluster, parameters once a round, each reply once.

Objects are pickled, as is everything that Ray sends. This adds no risk, because anyone who can
reach a cluster's ports can run code in it.
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

LONG = 1024  # bytes; shorter parts stay in the pickle

Bytes = NDArray[np.uint8]
ArrayPlace = tuple[int, str, tuple[int, ...]]
"""A long array in a payload: the index of its part, its type and its shape."""


class Payload(NamedTuple):
    """A serialised object: a pickle, and its long parts beside it."""

    head: bytes
    parts: tuple[Bytes, ...]

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return len(self.head) + sum(part.nbytes for part in self.parts)


class MessageBatch(NamedTuple):
    """Serialised messages: a pickle without parameters, and each set of parameters once."""

    head: bytes
    records: tuple[ArrayRecord, ...]


class KeptSnapshot(NamedTuple):
    """A snapshot that a dishonest participant keeps in the store with this number."""

    store: int
    round: int
    key: SnapshotKey
    arrays: ArrayRecord


class BatchResult(NamedTuple):
    """The result of a batch: its replies or an error, and the snapshots that were kept."""

    answer: list[Message] | Exception
    kept: list[KeptSnapshot]


def pack_object(thing: object) -> Payload:
    """Return an object as a payload; a long part that occurs several times is sent once."""
    head = io.BytesIO()
    packer = _PayloadPickler(head)
    packer.dump(thing)
    return Payload(head.getvalue(), tuple(packer.parts))


def unpack_object(payload: Payload) -> Any:
    """Return the object in a payload; it shares no memory with the payload."""
    return _PayloadUnpickler(payload).load()


def pack_messages(messages: Iterable[Message]) -> MessageBatch:
    """Return messages as a batch; `parameters_key` decides which parameters are the same."""
    head = io.BytesIO()
    packer = _MessagePacker(head)
    packer.dump(list(messages))
    return MessageBatch(head.getvalue(), tuple(packer.records.values()))


def unpack_messages(head: bytes, records: Sequence[ArrayRecord]) -> list[Message]:
    """Return the messages of a batch."""
    return _MessageUnpacker(head, records).load()  # type: ignore[no-any-return]


def parameters_key(record: ArrayRecord) -> tuple[object, ...]:
    """Return a key that is equal for records with the same names and identical array objects.

    The key is valid while the arrays exist. A strategy puts one record into all messages of a
    round.
    """
    return tuple((name, id(array)) for name, array in record.items())


class _PayloadPickler(pickle.Pickler):
    """Pickles an object except its long parts; unserialised arrays are sent as values."""

    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self.parts: list[Bytes] = []
        self._places: dict[int, int] = {}  # by object id; `parts` keeps the objects alive

    def reducer_override(self, thing: object) -> Any:
        """Reduce an array that is not serialised to its values, as serialising would copy it."""
        if type(thing) is ArrayInMemory and not thing.has_bytes:
            return _arrived, (np.asarray(thing.as_values(), order="C"), thing.known_finite)
        return NotImplemented

    def persistent_id(self, thing: object) -> int | ArrayPlace | None:
        """Return the place of long bytes or values, and None for objects that are pickled."""
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
        """Return a copy of the part at a place; the same object for the same place."""
        if isinstance(where, tuple):
            place, kind, shape = where
            return self._parts[place].copy().view(kind).reshape(shape)
        if where not in self._copies:
            self._copies[where] = self._parts[where].tobytes()
        return self._copies[where]


def _is_plain(values: Values) -> bool:
    """Return whether bytes, type name and shape describe an array completely."""
    return values.dtype.isbuiltin == 1 and not values.dtype.hasobject and values.flags.c_contiguous


def _arrived(values: Values, finite: bool | None) -> ArrayInMemory:
    return ArrayInMemory(values, finite=finite)


class _MessagePacker(pickle.Pickler):
    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, pickle.HIGHEST_PROTOCOL)
        self.records: dict[tuple[object, ...], ArrayRecord] = {}

    def persistent_id(self, thing: object) -> int | None:
        """Return the index of a set of parameters in the batch, and None for anything else."""
        if not isinstance(thing, ArrayRecord):
            return None
        key = parameters_key(thing)
        self.records.setdefault(key, thing)
        return list(self.records).index(key)


class _MessageUnpacker(pickle.Unpickler):
    def __init__(self, head: bytes, records: Sequence[ArrayRecord]) -> None:
        super().__init__(io.BytesIO(head))
        self._records = records

    def persistent_load(self, number: int) -> ArrayRecord:
        """Return the parameters with this index, which messages may share."""
        return self._records[number]
