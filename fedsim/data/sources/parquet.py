"""Parquet files as a data set: numbers, categories, lists, token ids, encoded images, or text."""

from pathlib import Path
from typing import Literal

import pyarrow as pa

from fedsim.data.arrays import Arrays
from fedsim.data.columns import Categories, ColumnSettings
from fedsim.data.images import checked_size
from fedsim.data.parquet_file import read_parquet
from fedsim.data.sources.base import SourceLocation
from fedsim.data.sources.tables import read_with_test_file
from fedsim.data.tokens import BYTES, TextSettings
from fedsim.errors import DataError


class Parquet:
    """A parquet file: a label column, a user column, the rest features; no Python needed.

    Parameters
    ----------
    path
        The file; a relative path is looked for in --data-dir, beside the experiment and here.
    label
        The column of labels, or several columns (regression, multilabel), or one of lists.
    features
        The columns of features; none means all others. Numbers stay, texts are categories; a single
        column of lists of one length is taken as it is, integers as token ids.
    user
        The column of the user whom a record is of.
    split
        A column that says which rows are test records: those that hold `test_value`.
    test_value
        What `split` holds for test records.
    test_path
        Instead of `split`, a second file with the test records.
    categories
        What becomes of texts among the features: ``one-hot`` columns, or ``refuse``.
    objective
        What the labels are for; none means the experiment's.
    image
        A column of JPEG, PNG or TIFF files that are the features.
    size
        A side, or [height, width], that images are resized to; none means that all have one size.
    channels
        1 for grayscale, 3 for colour.
    text
        A column of texts that are the features, as token ids.
    tokenizer
        ``bytes``, or your own as module:function, from a text to a list of ids.
    max_length
        Tokens a text; longer ones are cut, shorter ones padded.
    padding
        The id behind a text's end; none means 256 for bytes and 0 for others.
    """

    def __init__(
        self,
        path: str,
        label: str | list[str] | None = None,
        features: list[str] | None = None,
        user: str | None = None,
        split: str | None = None,
        test_value: str | int | bool = "test",
        test_path: str | None = None,
        categories: Categories = "one-hot",
        objective: str | None = None,
        image: str | None = None,
        size: int | list[int] | None = None,
        channels: Literal[1, 3] = 3,
        text: str | None = None,
        tokenizer: str = BYTES,
        max_length: int = 128,
        padding: int | None = None,
    ) -> None:
        self._path, self._test_path = path, test_path
        self._columns = ColumnSettings(
            label=tuple(label) if isinstance(label, list) else label,
            features=None if features is None else tuple(features),
            user=user,
            split=split,
            test_value=test_value,
            categories=categories,
            image=image,
            size=checked_size(size),
            channels=channels,
            text=text,
            tokens=TextSettings(tokenizer, max_length, padding),
            objective=objective,
        )

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the file's records, those of `test_path` behind them."""
        return read_with_test_file(read_table, self._path, self._test_path, self._columns, place)


def read_table(path: Path) -> pa.Table:
    """Return the table in a parquet file, read within bounds.

    Raises
    ------
    DataError
        If it is no parquet file, or larger than is read of any.
    """
    try:
        return read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as parquet: {reason}") from error
