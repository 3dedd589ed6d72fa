"""Flower arrays that stay numbers until their bytes are needed.

A Flower `Array` is the bytes of a .npy file, so each look at one copies it twice. Most arrays are
made, checked, averaged and dropped in one process, and the bytes are never read. An
`ArrayInMemory` is made of the numbers; its bytes, the same as Flower's own, are made when they are
first asked for, which is where it leaves the process.
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
from fedsim.transport.npy_decoding import decoded
from fedsim.transport.npy_encoding import Values, decoded_view, dtype_name, serialised


class LazyArray(Array):
    """An `Array` that makes its bytes, the same as Flower's own, only where they are asked for.

    Flower's attributes are put past its constructor, which wants the bytes, and so is ``_finite``:
    whether all values are finite, or None if unknown.
    """

    # No abstract class of Python's: to ask whether a thing is of one takes five times as long.
    def as_values(self) -> Values:
        """Return the values themselves, which are not to be changed."""
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
        """Return whether all values are finite; looked at once."""
        found: bool | None = self.__dict__["_finite"]
        if found is None:
            found = self.__dict__["_finite"] = _finite(self.as_values())
        return found

    def numpy(self) -> Values:
        """Return a copy of the values, which may be changed, as Flower's own `Array` does."""
        return self.as_values().copy()

    def deflate(self) -> bytes:
        """Return what Flower sends, under the name of its own class."""
        return Array(self.dtype, self.shape, self.stype, self.data).deflate()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and (
            (self.dtype, self.shape, self.stype, self.data)
            == (other.dtype, other.shape, other.stype, other.data)
        )

    __hash__ = None  # type: ignore[assignment]  # as Flower's, which can be changed


class ArrayInMemory(LazyArray):
    """An `Array` that was not serialised yet.

    Parameters
    ----------
    values
        What it holds. It is not copied, and must not change from now on.
    serialised
        Its bytes, where there are any already.
    finite
        Whether all values are finite; None if unknown.
    lies
        Where the upload that it is a part of lies in a pool, and which part of it this is.
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
        """The bytes of the .npy file, from now on kept."""
        if self.__dict__["_serialised"] is None:
            data = serialised(self.as_values())
            # The bytes have the values, too, so they are kept once.
            read = decoded_view(self.dtype, self.shape, data)
            self.__dict__.update(_serialised=data, _values=read, _lies=None)
        made: bytes = self.__dict__["_serialised"]
        return made

    def as_values(self) -> Values:
        """Return the values themselves, which are not to be changed."""
        values: Values = self.__dict__["_values"]
        return values

    @property
    def lies(self) -> tuple[Room, int] | None:
        """Where its values lie, if in a pool."""
        lies: tuple[Room, int] | None = self.__dict__["_lies"]
        return lies

    @property
    def has_bytes(self) -> bool:
        """Whether its bytes were made, or came with it."""
        return self.__dict__["_serialised"] is not None

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.dtype, self.shape, self.data)


def in_memory(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Return tensors as Flower arrays without a copy; they must not change from now on."""
    return recorded({name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})


def recorded(
    values: Mapping[str, Values], *, finite: bool | None = None, room: Room | None = None
) -> ArrayRecord:
    """Return values as Flower arrays without a copy; see `ArrayInMemory`.

    `room`: where all of them lie, if they are an upload in a pool.
    """
    arrays: dict[str, Array] = {}
    for number, (name, held) in enumerate(values.items()):
        lies = None if room is None else (room, number)
        arrays[name] = ArrayInMemory(held, finite=finite, lies=lies)
    return FastArrays(arrays)


def seen_finite(tensors: Iterable[Tensor]) -> bool | None:
    """Return that all numbers in tensors are finite, or None: then the caller has to check.

    For who has them at hand; a server would fetch them from far. The sum is looked at, which may be
    infinite though no number is.
    """
    return all(math.isfinite(float(tensor.sum())) for tensor in tensors) or None


def values_of(array: Array) -> Values:
    """Return the values of any array, without a copy; they are not to be changed.

    Raises
    ------
    ValueError
        If an array came as bytes that cannot be read.
    """
    return array.as_values() if isinstance(array, LazyArray) else decoded(array)


def is_finite(array: Array) -> bool:
    """Return whether all values of an array are finite."""
    return array.is_finite() if isinstance(array, LazyArray) else _finite(values_of(array))


def byte_count(array: Array) -> int:
    """Return how many bytes the values of an array take; of one that came as bytes, its own."""
    return array.as_values().nbytes if isinstance(array, ArrayInMemory) else len(array.data)


def values_bytes(arrays: ArrayRecord) -> int:
    """Return how many bytes the numbers of arrays take, by their shapes and types alone.

    An array of a type that NumPy does not know counts nothing; where it is read, it is refused.

    >>> values_bytes(recorded({"w": np.zeros((3, 2), np.float32), "count": np.int64(1)[None]}))
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
    """Return arrays as tensors, which are not to be changed: they may be the arrays' own memory."""
    return {name: _tensor(values_of(array)) for name, array in arrays.items()}


def _tensor(values: Values) -> Tensor:
    # Of what came out of bytes there is a copy to be made: torch takes no memory that is read-only.
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _finite(values: Values) -> bool:
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def _unpickled(dtype: str, shape: tuple[int, ...], data: bytes) -> ArrayInMemory:
    return ArrayInMemory(decoded_view(dtype, shape, data), data)
