"""Converting a table's columns to records: features of any kind, labels, users and splits.

CSV, parquet and the data sets of the Hugging Face Hub are all read through this module, so their
settings have the same meaning. Errors name a cell by its column and row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedsim.data.arrays import Arrays
from fedsim.data.column_values import (
    as_whole_numbers,
    column_and_kind,
    is_text,
    list_column,
    number_column,
    numbers_or_texts,
)
from fedsim.data.feature_columns import Categories, feature_columns
from fedsim.data.images import decode_images
from fedsim.data.tokens import TextSettings, encode_texts
from fedsim.errors import DataError, listed


@dataclass(frozen=True)
class ColumnSettings:
    """The roles of a table's columns.

    Attributes
    ----------
    label
        The column of labels, or several columns; None only for next-token.
    features
        The columns of features; None means all columns without another role.
    user
        The column of the record's user.
    split, test_value
        The column that marks test records, and its value for them.
    categories
        How a feature of texts is read: as a column of 0 and 1 for each value, or as an error.
    image, size, channels
        A column of encoded images, which are the features (see `decode_images`).
    text, tokens
        A column of texts, which are the features, and how they become token ids.
    objective
        The name of the objective that the labels are for.
    """

    label: str | tuple[str, ...] | None
    features: tuple[str, ...] | None = None
    user: str | None = None
    split: str | None = None
    test_value: str | int | bool = "test"
    categories: Categories = "one-hot"
    image: str | None = None
    size: tuple[int, int] | None = None
    channels: int = 3
    text: str | None = None
    tokens: TextSettings = field(default_factory=TextSettings)
    objective: str | None = None


def read_columns(
    table: pa.Table,
    chosen: ColumnSettings,
    *,
    test: NDArray[np.bool_] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Arrays:
    """Return a table's records.

    Parameters
    ----------
    test
        The rows that are test records, if no column marks them.
    class_names
        The names of classes 0..C-1, if they are known and the labels are these numbers.

    Raises
    ------
    DataError
        If a column is missing, or a cell is not valid.
    """
    if not len(table):
        raise DataError("it has no rows")
    labels = () if chosen.label is None else _names(chosen.label)
    beside = [name for name in (chosen.user, chosen.split) if name is not None]
    _require_columns(table, chosen)
    next_token = chosen.objective == "next-token" and chosen.text is not None
    if not labels and not next_token:
        raise DataError("it needs the setting label, the column of labels")
    outputs: int | None = None if class_names is None else len(class_names)
    following: NDArray[Any] | None = None
    if chosen.image is not None:
        features: NDArray[Any] = _images(table, chosen)
    elif chosen.text is not None:
        texts = _texts(table, chosen.text)
        features, following = encode_texts(texts, chosen.tokens, next_token=next_token)
        outputs = chosen.tokens.vocabulary if next_token else outputs
    else:
        free = [name for name in table.column_names if name not in (*labels, *beside)]
        features = feature_columns(table, chosen.features or tuple(free), chosen.categories)
    found = following if following is not None else _labels(table, labels)
    if chosen.objective in (None, "classification"):
        found = _as_classes(found)
    return Arrays(
        features,
        found,
        test=_test(table, chosen) if chosen.split is not None else test,
        num_classes=outputs,
        class_names=class_names,
        groups=None if chosen.user is None else _users(table, chosen.user),
        objective=chosen.objective,
    )


def _names(label: str | Sequence[str]) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else tuple(label)


def _require_columns(table: pa.Table, chosen: ColumnSettings) -> None:
    """Raise `DataError`, which names the setting, unless every chosen column exists."""
    there = table.column_names
    twice = sorted({name for name in there if there.count(name) > 1})
    if twice:
        raise DataError(f"it has two columns {twice[0]!r}")
    named = {
        "label": () if chosen.label is None else _names(chosen.label),
        "user": (chosen.user,),
        "split": (chosen.split,),
        "features": chosen.features or (),
        "image": (chosen.image,),
        "text": (chosen.text,),
    }
    for setting, names in named.items():
        for name in names:
            if name is not None and name not in there:
                raise DataError(
                    f"{setting} is {name!r}, but it has no such column; valid: {listed(there[:50])}"
                )


def _labels(table: pa.Table, names: Sequence[str]) -> NDArray[Any]:
    if len(names) == 1:
        column, kind = column_and_kind(table, names[0])
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            return list_column(column, names[0])
        return numbers_or_texts(table, names[0])
    return np.stack([number_column(table, name) for name in names], axis=1)


def _as_classes(labels: NDArray[Any]) -> NDArray[Any]:
    """Return classes written as 0.0 and 1.0 as integers; other labels unchanged."""
    whole = as_whole_numbers(labels)
    return labels if len(np.unique(whole)) > len(labels) / 2 else whole


def _users(table: pa.Table, name: str) -> NDArray[Any]:
    users = as_whole_numbers(numbers_or_texts(table, name))
    if users.dtype.kind == "f":
        raise DataError(f"column {name!r} holds fractions; valid for users: integers or texts")
    return users


def _texts(table: pa.Table, name: str) -> list[str]:
    column, kind = column_and_kind(table, name)
    if not is_text(kind):
        raise DataError(f"column {name!r} is of type {kind}; valid for text: texts")
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()  # each distinct text once
    return [texts[place] for place in encoded.indices.to_numpy(zero_copy_only=False)]


def _images(table: pa.Table, chosen: ColumnSettings) -> NDArray[np.uint8]:
    name = chosen.image or ""
    column, kind = column_and_kind(table, name)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:  # the form of `datasets`
        column = pc.struct_field(column, "bytes")
        kind = column.type
        if column.null_count:
            raise DataError(f"column {name!r} names images that are not in the table")
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"column {name!r} is of type {kind}; valid for image: encoded images")
    return decode_images(
        (column[row].as_py() for row in range(len(column))),
        len(column),
        size=chosen.size,
        channels=chosen.channels,
        names=(f"column {name!r}, row {row}" for row in range(len(column))),
    )


def _test(table: pa.Table, chosen: ColumnSettings) -> NDArray[np.bool_]:
    name = chosen.split or ""
    values = numbers_or_texts(table, name)
    test: NDArray[np.bool_] = values.astype(str) == str(chosen.test_value)
    if not test.any() or test.all():
        found = listed(np.unique(values.astype(str))[:10])
        raise DataError(
            f"column {name!r} leaves no {'pool' if test.all() else 'test records'}: it holds "
            f"{found}; test_value, here {chosen.test_value!r}, says which are test records"
        )
    return test
