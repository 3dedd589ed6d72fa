"""The .npy bytes of arrays, written as numpy writes them, and read back where we wrote them."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]


@lru_cache
def dtype_name(dtype: "np.dtype[np.generic]") -> str:
    """Return the name of a type of numbers."""
    return str(dtype)


@lru_cache
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    # The first version of the format, as np.save writes it wherever the header fits.
    return head.getvalue()


def serialised(values: Values) -> bytes:
    """Return the .npy file of values, as numpy writes it."""
    return b"".join((_npy_header(dtype_name(values.dtype), values.shape), raw(values)))


def raw(values: Values) -> memoryview:
    """Return the bytes of the numbers alone, row by row; no copy of values that lie so."""
    return np.ascontiguousarray(values).reshape(-1).data.cast("B")


def decoded_view(dtype: str, shape: tuple[int, ...], data: bytes) -> Values:
    """Return the values in bytes that we made ourselves; they can only be read."""
    start = len(_npy_header(dtype, shape))
    return np.frombuffer(data, dtype, offset=start).reshape(shape)
