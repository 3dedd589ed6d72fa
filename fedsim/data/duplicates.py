"""Exact duplicates among records.

If a member has a copy outside the training data, its membership is ambiguous, so duplicates are
never audited.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

ROWS_A_CHUNK = 1024
DIGEST_BYTES = 16


def smallest_copies(features: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return for each row the smallest number of a row with exactly the same values.

    Rows are read in chunks and compared by a cryptographic digest, so memory-mapped features of
    any size can be searched.

    Parameters
    ----------
    features
        Shape (N, ...).

    Returns
    -------
    NDArray
        Shape (N,). If no earlier row is equal, it is the row's own number.

    >>> smallest_copies(np.array([[1.0, 0.0], [2.0, 2.0], [1.0, -0.0]]))
    array([0, 1, 0])
    """
    first_with: dict[bytes, int] = {}
    smallest = np.empty(len(features), dtype=np.int64)
    for start in range(0, len(features), ROWS_A_CHUNK):
        chunk = np.ascontiguousarray(features[start : start + ROWS_A_CHUNK])
        if chunk.dtype.kind == "f":
            chunk = chunk + chunk.dtype.type(0)  # turns -0.0 into 0.0, which has other bytes
        rows = chunk.reshape(len(chunk), -1).view(np.uint8)
        for row, content in enumerate(rows, start=start):
            digest = hashlib.blake2b(content.data, digest_size=DIGEST_BYTES).digest()
            smallest[row] = first_with.setdefault(digest, row)
    return smallest
