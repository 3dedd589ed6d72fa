"""Parquet files as a data set: numbers, categories, lists, token ids, encoded images, or text."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fedsim.data.parquet_file import read_parquet
from fedsim.data.sources.tables import ImageColumn, TableFile


@dataclass(kw_only=True)
class Parquet(TableFile, ImageColumn):
    """A parquet file: a label column, a user column, the rest features; no Python needed."""

    format_name = "parquet"

    def read(self, path: Path) -> pa.Table:
        """Return the table in a file, read within bounds."""
        return read_parquet(path)
