"""Reading the values of one column of a table: numbers, texts or lists, without empty cells."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedsim.errors import DataError

MOST_CHARACTERS = 1_000
MOST_TEXT_BYTES = 8 << 30
EXACT_FLOATS = 2.0**53
"""Floats represent all integers up to this one exactly."""


def whole_column(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one array without empty cells."""
    column = table[name].combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"column {name!r}, row {row} is empty; fill it, or leave such rows out")
    return column


def column_and_kind(table: pa.Table, name: str) -> tuple[pa.Array, pa.DataType]:
    """Return a column, and the type of its values."""
    column = whole_column(table, name)
    kind = column.type
    return column, kind.value_type if pa.types.is_dictionary(kind) else kind


def is_number(kind: pa.DataType) -> bool:
    """Return whether values of this type are numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of this type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def finite_numbers(column: pa.Array, name: str) -> NDArray[Any]:
    """Return a column of numbers, all finite."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(
            f"column {name!r}, row {row} is {numbers[row]}; every value must be finite, not NaN or "
            "infinite"
        )
    return numbers


def numbers_or_texts(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of integers or texts: labels, users, splits."""
    column, kind = column_and_kind(table, name)
    if is_text(kind):
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values = np.array([str(value) for value in encoded.dictionary.to_pylist()], dtype=str)
        if values.itemsize > 4 * MOST_CHARACTERS or values.itemsize * len(table) > MOST_TEXT_BYTES:
            raise DataError(
                f"column {name!r} holds a text of {values.itemsize // 4:,} characters; valid for a "
                f"label, user or category: up to {MOST_CHARACTERS} (read longer ones as text)"
            )
        texts: NDArray[Any] = values[encoded.indices.to_numpy(zero_copy_only=False)]
        return texts
    if is_number(kind):
        return finite_numbers(column, name)
    raise DataError(f"column {name!r} is of type {kind}; valid: numbers or texts")


def as_whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return floats without fractions as integers: a column that had empty cells is of floats."""
    if values.dtype.kind != "f" or (np.abs(values) >= EXACT_FLOATS).any():
        return values
    whole: NDArray[Any] = values.astype(np.int64)
    return whole if (whole == values).all() else values


def number_column(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of numbers by its name."""
    column, kind = column_and_kind(table, name)
    if not is_number(kind):
        raise DataError(f"column {name!r} is of type {kind}; valid: numbers")
    return finite_numbers(column, name)


def list_column(column: pa.Array, name: str) -> NDArray[Any]:
    """Return a column of lists of numbers, all of one length; integers stay integers."""
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) != 1:
        raise DataError(
            f"column {name!r} holds lists of {len(widths)} lengths; pad them to one length"
        )
    values = column.flatten()
    if values.null_count or not is_number(values.type):
        raise DataError(f"column {name!r} must hold lists of numbers without empty cells")
    return finite_numbers(values, name).reshape(len(column), widths[0])
