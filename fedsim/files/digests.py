"""Checksums of named tensors, which reveal a flipped bit or other content before it is used."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROWS_A_CHUNK = 4096


def digest(state: Mapping[str, Tensor]) -> str:
    """Return a checksum over names, types, shapes and bytes, independent of the order of names."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().contiguous().reshape(-1)
        total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()


def digest_of_arrays(*arrays: NDArray[np.generic], beside: object = None) -> str:
    """Return a checksum over the types, shapes and bytes of arrays in their order.

    `beside` is plain data that counts, too. Memory-mapped arrays are read in parts.
    """
    total = hashlib.blake2b(digest_size=16)
    for array in arrays:
        total.update(json.dumps([str(array.dtype), list(array.shape)]).encode())
        rows = np.atleast_1d(array)
        for start in range(0, len(rows), ROWS_A_CHUNK):
            total.update(np.ascontiguousarray(rows[start : start + ROWS_A_CHUNK]).tobytes())
    if beside is not None:
        total.update(json.dumps(beside).encode())
    return total.hexdigest()
