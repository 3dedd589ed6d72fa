"""Flower arrays that are serialised lazily.

A Flower `Array` holds the bytes of a .npy file, so each access to its values copies it twice. Most
arrays are created, checked, averaged and dropped in one process, and their bytes are never read. An
`ArrayInMemory` holds the values; its bytes, equal to Flower's own, are made on first access, which
happens when the array leaves the process.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.common.constant import SType
from torch import Tensor

from fedsim.transport.buffer_pool import Room
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.npy_decoding import decode_array
from fedsim.transport.npy_encoding import Values, decoded_view, dtype_name, encode_npy


class LazyArray(Array):
    """An `Array` that makes its bytes, equal to Flower's own, only on access.

    Subclasses set Flower's attributes without its constructor, which needs the bytes, and
    ``_finite``: whether all values are finite, or None if unknown.
    """

    # Not an abstract base class, for which isinstance takes five times as long.
    def as_values(self) -> Values:
        """Return the values themselves, which must not be changed."""
        raise NotImplementedError

    @property
    def data(self) -> bytes:  # type: ignore[override]  # Flower's is an attribute
        """The bytes of the .npy file."""
        raise NotImplementedError

    @property
    def known_finite(self) -> bool | None:
        """Whether all values are finite; None if unknown."""
        known: bool | None = self.__dict__["_finite"]
        return known

    def is_finite(self) -> bool:
        """Return whether all values are finite; the result is cached."""
        found: bool | None = self.__dict__["_finite"]
        if found is None:
            found = self.__dict__["_finite"] = _finite(self.as_values())
        return found

    def numpy(self) -> Values:
        """Return a writable copy of the values, as Flower's own `Array` does."""
        return self.as_values().copy()

    def deflate(self) -> bytes:
        """Return the serialised array, under the name of Flower's class."""
        return Array(self.dtype, self.shape, self.stype, self.data).deflate()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and (
            (self.dtype, self.shape, self.stype, self.data)
            == (other.dtype, other.shape, other.stype, other.data)
        )

    __hash__ = None  # type: ignore[assignment]  # mutable, as Flower's


class ArrayInMemory(LazyArray):
    """An `Array` whose values are in memory and are serialised on first access.

    Parameters
    ----------
    values
        The values. They are not copied, and must not change from now on.
    serialised
        The bytes of the .npy file, if they exist already.
    finite
        Whether all values are finite; None if unknown.
    lies
        If the array is part of an upload in a pool: the upload's place, and the part's index.
    """

    def __init__(
        self,
        values: Values,
        serialised: bytes | None = None,
        *,
        finite: bool | None = None,
        lies: tuple[Room, int] | None = None,
    ) -> None:
        self.__dict__.update(
            dtype=dtype_name(values.dtype),
            shape=values.shape,
            stype=SType.NUMPY,
            _values=values,
            _serialised=serialised,
            _finite=finite,
            _lies=lies,
        )

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The bytes of the .npy file, which are kept from now on."""
        if self.__dict__["_serialised"] is None:
            data = encode_npy(self.as_values())
            # The values become a view of the bytes, so that memory holds them once.
            read = decoded_view(self.dtype, self.shape, data)
            self.__dict__.update(_serialised=data, _values=read, _lies=None)
        made: bytes = self.__dict__["_serialised"]
        return made

    def as_values(self) -> Values:
        """Return the values themselves, which must not be changed."""
        values: Values = self.__dict__["_values"]
        return values

    @property
    def lies(self) -> tuple[Room, int] | None:
        """The place of the values, if they are in a pool."""
        lies: tuple[Room, int] | None = self.__dict__["_lies"]
        return lies

    @property
    def has_bytes(self) -> bool:
        """Whether the bytes exist already."""
        return self.__dict__["_serialised"] is not None

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.dtype, self.shape, self.data)


def tensors_as_record(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Return tensors as Flower arrays, without a copy; they must not change from now on."""
    return as_array_record(
        {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    )


def as_array_record(
    values: Mapping[str, Values], *, finite: bool | None = None, room: Room | None = None
) -> ArrayRecord:
    """Return values as Flower arrays, without a copy; see `ArrayInMemory`.

    `room` is the place of the values, if they are an upload in a pool.
    """
    arrays: dict[str, Array] = {}
    for number, (name, held) in enumerate(values.items()):
        lies = None if room is None else (room, number)
        arrays[name] = ArrayInMemory(held, finite=finite, lies=lies)
    return FastArrays(arrays)


def all_finite_or_none(tensors: Iterable[Tensor]) -> bool | None:
    """Return True if all values in tensors are finite, or None if that is unknown.

    It is called where the values are in a near memory. It tests the sum, which may be infinite
    although all values are finite.
    """
    return all(math.isfinite(float(tensor.sum())) for tensor in tensors) or None


def values_of(array: Array) -> Values:
    """Return the values of any array, without a copy; they must not be changed.

    Raises
    ------
    ValueError
        If an array came as bytes that cannot be read.
    """
    return array.as_values() if isinstance(array, LazyArray) else decode_array(array)


def is_finite(array: Array) -> bool:
    """Return whether all values of an array are finite."""
    return array.is_finite() if isinstance(array, LazyArray) else _finite(values_of(array))


def byte_count(array: Array) -> int:
    """Return the size of an array's values in bytes; of a serialised array, that of its bytes."""
    return array.as_values().nbytes if isinstance(array, ArrayInMemory) else len(array.data)


def record_byte_count(arrays: ArrayRecord) -> int:
    """Return the size of arrays' values in bytes, from their shapes and types alone.

    An array of a type that NumPy does not know counts as 0; it is rejected when it is read.

    >>> values = {"w": np.zeros((3, 2), np.float32), "count": np.int64(1)[None]}
    >>> record_byte_count(as_array_record(values))
    32
    """
    return sum(_bytes_of(array.dtype, tuple(array.shape)) for array in arrays.values())


@lru_cache(maxsize=4096)
def _bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    try:
        return math.prod(shape) * np.dtype(dtype).itemsize
    except (TypeError, ValueError):
        return 0


def tensors_of(arrays: ArrayRecord) -> dict[str, Tensor]:
    """Return arrays as tensors, which must not be changed as they may share the arrays' memory."""
    return {name: _tensor(values_of(array)) for name, array in arrays.items()}


def _tensor(values: Values) -> Tensor:
    # Values that are views of bytes are copied, because torch does not accept read-only memory.
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _finite(values: Values) -> bool:
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def _unpickled(dtype: str, shape: tuple[int, ...], data: bytes) -> ArrayInMemory:
    return ArrayInMemory(decoded_view(dtype, shape, data), data)
