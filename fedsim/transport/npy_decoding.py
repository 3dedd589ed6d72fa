"""Decoding arrays that arrive as the bytes of a .npy file, from an untrusted sender.

numpy allocates an array of the size that the header states before it reads the content, and also
accepts archives and pickles. Here the header is first compared with the length of the bytes, and
the array is a view of them, so an absurd size allocates no memory.
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
"""The types of values that parameters may have: those that numpy and torch share."""
LONGEST_HEADER = 10_012  # bytes: numpy's limit of the header's text, and up to 12 bytes before it
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I")}
_HEADERS: dict[tuple[int, int], Callable[[io.BytesIO], Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def decode_array(array: Array) -> NDArray[np.generic]:
    """Return the values of an array of any type, without a copy.

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
    except Exception as error:  # parsing the header as a Python literal may raise anything
        raise ValueError("it does not begin as an array of numpy's does") from error
    count = math.prod(shape)
    if kind.hasobject or not kind.itemsize or len(array.data) - start != count * kind.itemsize:
        raise ValueError(f"its header states {kind} {shape}, and its bytes are not that")
    values = np.frombuffer(array.data, kind, count, start) if count else np.empty(0, kind)
    return values.reshape(shape, order="F" if by_column else "C")


def _start(data: bytes) -> int:
    """Return the offset of the values, from the length that the header states."""
    length, size = _LENGTHS[data[6]], len(data)
    start = length.size + 8 + int(length.unpack_from(data, 8)[0])
    if not start <= min(size, LONGEST_HEADER):
        raise ValueError("the header is longer than any of numpy's")
    return start


@lru_cache(maxsize=1024)
def _read(header: bytes) -> Any:
    """Return shape, order and type; cached, as all uploads of a federation have equal headers."""
    file = io.BytesIO(header)
    return _HEADERS[npy.read_magic(file)](file)
