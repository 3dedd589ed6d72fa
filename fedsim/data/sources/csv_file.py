"""CSV files as a data set: a row a record, numbers as features, texts as categories or as text."""

from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from fedsim.data.arrays import Arrays
from fedsim.data.columns import Categories, ColumnSettings
from fedsim.data.sources.base import SourceLocation
from fedsim.data.sources.tables import read_with_test_file
from fedsim.data.tokens import BYTES, TextSettings
from fedsim.errors import DataError

MOST_CSV_BYTES = 8 << 30
BLOCK_BYTES = 8 << 20


class CsvFile:
    """A CSV file with a header: a label column, a user column, the rest features; no Python needed.

    Parameters
    ----------
    path
        The file; a relative path is looked for in --data-dir, beside the experiment and here.
    label
        The column of labels, or several columns (regression, multilabel).
    features
        The columns of features; none means all others. Numbers stay, texts are categories.
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
            text=text,
            tokens=TextSettings(tokenizer, max_length, padding),
            objective=objective,
        )

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the file's records, those of `test_path` behind them."""
        return read_with_test_file(read_csv, self._path, self._test_path, self._columns, place)


def read_csv(path: Path) -> pa.Table:
    """Return the table in a CSV file; an empty cell is empty, never a text.

    Raises
    ------
    DataError
        If it is no CSV file of UTF-8, or larger than is read of any.
    """
    try:
        if path.stat().st_size > MOST_CSV_BYTES:
            raise DataError(f"{path} is larger than {MOST_CSV_BYTES >> 30} GB")
        with path.open("rb") as file:  # opened here, as Arrow would unpack what is called .gz
            return csv.read_csv(
                file,
                csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                convert_options=csv.ConvertOptions(
                    strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
                ),
            )
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as CSV: {reason}") from error
