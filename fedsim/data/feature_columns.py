"""Converting columns to features: numbers, texts as categories, or one column of lists."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedsim.data.column_values import (
    column_and_kind,
    finite_numbers,
    is_number,
    is_text,
    list_column,
    numbers_or_texts,
)
from fedsim.errors import DataError

MOST_CATEGORIES = 1_000
MOST_FEATURE_BYTES = 32 << 30
Categories = Literal["one-hot", "refuse"]


def feature_columns(table: pa.Table, names: Sequence[str], categories: Categories) -> NDArray[Any]:
    """Return the features of all rows; several columns are converted to single precision."""
    if not names:
        raise DataError("it has no column left for features")
    if len(names) == 1:
        column, kind = column_and_kind(table, names[0])
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            return list_column(column, names[0])
    parts = [_feature(table, name, categories) for name in names]
    width = sum(1 if part.ndim == 1 else int(part.max()) + 1 for part in parts)
    if 4 * width * len(table) > MOST_FEATURE_BYTES:
        raise DataError(
            f"{len(table):,} rows of {width:,} features take more than "
            f"{MOST_FEATURE_BYTES >> 30} GB; name fewer columns in features"
        )
    features = np.zeros((len(table), width), dtype=np.float32)
    start = 0
    for part in parts:
        if part.ndim == 1:
            with np.errstate(over="ignore"):  # `Arrays` refuses values beyond float32
                features[:, start] = part
            start += 1
        else:  # codes of categories, (n, 1)
            features[np.arange(len(table)), start + part[:, 0]] = 1
            start += int(part.max()) + 1
    return features


def _feature(table: pa.Table, name: str, categories: Categories) -> NDArray[Any]:
    """Return a column of numbers (n,), or the codes of its categories (n, 1)."""
    column, kind = column_and_kind(table, name)
    if is_number(kind):
        return finite_numbers(column, name)
    if not is_text(kind):
        raise DataError(
            f"column {name!r} is of type {kind}, which is no feature; valid: numbers, texts as "
            "categories, or one column of lists; name the columns to use in features"
        )
    if categories == "refuse":
        raise DataError(
            f"column {name!r} holds texts; leave it out of features, or set categories: one-hot"
        )
    values, codes = np.unique(numbers_or_texts(table, name), return_inverse=True)
    if len(values) > MOST_CATEGORIES:
        raise DataError(
            f"column {name!r} holds {len(values):,} different texts; valid for a feature: up to "
            f"{MOST_CATEGORIES:,} (name the columns to use in features, or read it as text)"
        )
    return codes.reshape(-1, 1)
