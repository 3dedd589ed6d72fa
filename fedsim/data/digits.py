"""Reading text tables of small numbers (classes and bits): one record per line, by commas."""

from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from fedsim.errors import DataError

BLOCK_BYTES = 8 << 20


def read_digits(stream: IO[bytes], columns: int) -> NDArray[np.uint8]:
    """Return the (n, `columns`) table of numbers 0..255 in `stream`; numbers may be quoted.

    Raises
    ------
    DataError
        If a line does not have `columns` such numbers, or there is no line.
    """
    names = [str(column) for column in range(columns)]
    try:
        blocks = csv.open_csv(
            stream,
            csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES, use_threads=False),
            csv.ParseOptions(ignore_empty_lines=False),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.uint8()), null_values=[]),
        )
        return np.concatenate([block.to_tensor().to_numpy() for block in blocks])
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"its lines are not {columns} small numbers each ({reason})") from error


def as_bits(table: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a table of zeros and ones as bools, without a copy.

    Raises
    ------
    DataError
        If any number is above 1.
    """
    if table.max() > 1:
        raise DataError(f"a feature is {table.max()}; valid: 0 and 1")
    return np.ascontiguousarray(table).view(np.bool_)


def as_labels(classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return published classes 1..C as labels 0..C-1."""
    return classes.astype(np.int64) - 1
