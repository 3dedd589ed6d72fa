"""CSV files as a data set: one row per record, numbers and texts as features."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from fedsim.data.sources.tables import TableFile
from fedsim.errors import DataError

MOST_CSV_BYTES = 8 << 30
BLOCK_BYTES = 8 << 20
DELIMITERS = ",;\t|"


@dataclass(kw_only=True)
class CsvFile(TableFile):
    """A CSV file with a header: a label column, a user column, the rest features; no Python needed.

    Parameters
    ----------
    label
        The column of labels, or several columns (regression, multilabel).
    features
        The columns of features; none means all others. Numbers stay, texts are categories.
    delimiter
        What stands between cells: one character.
    """

    format_name = "CSV"
    delimiter: str = ","

    def __post_init__(self) -> None:
        """Refuse a delimiter of several characters."""
        plain = self.delimiter.isascii() and (
            self.delimiter.isprintable() or self.delimiter == "\t"
        )
        if len(self.delimiter) != 1 or not plain:
            raise DataError(f"delimiter is {self.delimiter!r}; valid: one character, as in ';'")

    def read(self, path: Path) -> pa.Table:
        """Return the table in a file; an empty cell is a missing value, never a text."""
        if path.stat().st_size > MOST_CSV_BYTES:
            raise DataError(f"{path} is larger than {MOST_CSV_BYTES >> 30} GB")
        with path.open("rb") as file:  # because Arrow would unpack a path that ends in .gz
            table = csv.read_csv(
                file,
                csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                csv.ParseOptions(delimiter=self.delimiter),
                convert_options=csv.ConvertOptions(
                    strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
                ),
            )
        _require_delimiter(path, table.column_names)
        return table


def _require_delimiter(path: Path, names: list[str]) -> None:
    """Refuse a single column whose name looks like several with another delimiter."""
    other = next((mark for mark in DELIMITERS if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        raise DataError(
            f"{path} has one column, {names[0]!r}; if it is several, set delimiter: {other!r}"
        )
