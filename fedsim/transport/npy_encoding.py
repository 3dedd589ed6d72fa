"""Encoding arrays as .npy bytes, equal to numpy's, and reading back bytes encoded here."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]


@lru_cache
def dtype_name(dtype: "np.dtype[np.generic]") -> str:
    """Return the name of a dtype in the .npy format."""
    return str(dtype)


@lru_cache
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    # Version 1.0 of the format, which np.save writes if the header fits.
    return head.getvalue()


def encode_npy(values: Values) -> bytes:
    """Return values as the bytes of a .npy file, equal to numpy's."""
    return b"".join((_npy_header(dtype_name(values.dtype), values.shape), value_bytes(values)))


def value_bytes(values: Values) -> memoryview:
    """Return the bytes of the values alone, in C order; values in C order are not copied."""
    return np.ascontiguousarray(values).reshape(-1).data.cast("B")


def decoded_view(dtype: str, shape: tuple[int, ...], data: bytes) -> Values:
    """Return a read-only view of the values in bytes that this process or a fork encoded."""
    start = len(_npy_header(dtype, shape))
    return np.frombuffer(data, dtype, offset=start).reshape(shape)
