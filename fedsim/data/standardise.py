"""Standardising features to mean 0 and standard deviation 1, which helps networks to train."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedsim.data.arrays import Arrays, is_integer
from fedsim.errors import DataError

ROWS_A_CHUNK = 4096


def standardise(arrays: Arrays) -> Arrays:
    """Return records whose tensors are standardised, by column or by channel (axis 1).

    Mean and deviation are computed over the records outside the source's test split, or over all
    records if it has none. A constant feature becomes 0.

    Raises
    ------
    DataError
        If features are token ids, which stay integers.

    Examples
    --------
    >>> arrays = standardise(Arrays(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([0, 1])))
    >>> arrays.mean, arrays.std
    ((2.0, 5.0), (1.0, 1.0))
    """
    if is_integer(arrays.features):
        raise DataError("standardise is for numbers and images; token ids stay integers")
    rows = np.arange(len(arrays)) if arrays.test is None else np.flatnonzero(~arrays.test)
    axes = (0, *range(2, arrays.features.ndim))
    total = _sum_of_chunks(arrays.features, rows, axes, 0.0)
    count = len(rows) * arrays.features[0, 0].size
    mean = total / count
    along = mean.reshape(-1, *(1 for _ in axes[1:]))
    std = np.sqrt(_sum_of_chunks(arrays.features, rows, axes, along, power=2) / count)
    std[std == 0] = 1
    return replace(arrays, mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _sum_of_chunks(
    features: NDArray[np.generic],
    rows: NDArray[np.intp],
    axes: tuple[int, ...],
    shift: NDArray[np.float64] | float,
    power: int = 1,
) -> NDArray[np.float64]:
    """Return the sums of (x - shift) ** power over `axes`; pixels of 8 bits count as 0..1."""
    unit = 255.0 if features.dtype == np.uint8 else 1.0
    total = np.zeros(features.shape[1])
    for start in range(0, len(rows), ROWS_A_CHUNK):
        chunk = features[rows[start : start + ROWS_A_CHUNK]].astype(np.float64) / unit
        total += ((chunk - shift) ** power).sum(axis=axes)
    return total
