"""Arrays as they arrive: the bytes of a .npy file from an untrusted sender.

numpy makes an array of the size that a header states before it reads it, and takes archives and
pickles for arrays, too. Here the header is compared with the bytes that are there first, and the
array is a view of them, so an absurd size costs nothing.
"""

import io
import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import Array
from flwr.common.constant import SType
from numpy.lib import format as npy
from numpy.typing import NDArray

USABLE = frozenset(np.dtype(kind) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?"))
"""The types of numbers that parameters may have: what numpy and torch agree on."""
LONGEST_HEADER = 10_012  # bytes: numpy reads no longer text, behind the 12 that may stand before it
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I")}
_HEADERS: dict[tuple[int, int], Callable[[io.BytesIO], Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def decoded(array: Array) -> NDArray[np.generic]:
    """Return what is in an array, without a copy; its type may be any.

    Raises
    ------
    ValueError
        If its bytes are not exactly one array in numpy's format.
    """
    if array.stype != SType.NUMPY:
        raise ValueError(f"it is said to be {array.stype!r}, not {SType.NUMPY!r}")
    try:
        start = _start(array.data)
        shape, by_column, kind = _read(array.data[:start])
    except Exception as error:  # it is read as Python's own text, which may fail in any way
        raise ValueError("it does not begin as an array of numpy's does") from error
    count = math.prod(shape)
    if kind.hasobject or not kind.itemsize or len(array.data) - start != count * kind.itemsize:
        raise ValueError(f"its header states {kind} {shape}, and its bytes are not that")
    values = np.frombuffer(array.data, kind, count, start) if count else np.empty(0, kind)
    return values.reshape(shape, order="F" if by_column else "C")


def _start(data: bytes) -> int:
    """Return where the numbers begin by what the header says of its own length."""
    length, size = _LENGTHS[data[6]], len(data)
    start = length.size + 8 + int(length.unpack_from(data, 8)[0])
    if not start <= min(size, LONGEST_HEADER):
        raise ValueError("the header is longer than any of numpy's")
    return start


@lru_cache(maxsize=1024)
def _read(header: bytes) -> Any:
    """Return shape, order and type; remembered, as all uploads of a federation begin alike."""
    file = io.BytesIO(header)
    return _HEADERS[npy.read_magic(file)](file)
