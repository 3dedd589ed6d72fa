"""Reading parquet within bounds: a few hundred bytes of it may unpack to more than any memory.

Numbers that repeat take no room in parquet, so a file's own size says nothing. What it states of
its rows, values and unpacked bytes is checked before a column is decoded, and texts are decoded as
positions in a dictionary, which take the same room however long they are.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MOST_VALUES = 1 << 26
"""In a column: a thousand times ImageNet's records would be a little more."""
MOST_UNPACKED_BYTES = 2 << 30


class TooLarge(ValueError):  # noqa: N818 - it says what is wrong
    """A file states more than is read of any file."""


def read_parquet(path: Path) -> pa.Table:
    """Return the table in a parquet file; its columns of texts are dictionaries.

    Raises
    ------
    OSError, ValueError, pa.ArrowException
        If it cannot be read, or is larger than any file of ours.
    """
    # Not `pq.read_table`, which would take a folder called "a=b" for a column.
    with pq.ParquetFile(path) as opened:
        _require_bounded(opened.metadata)
        texts = [field.name for field in opened.schema_arrow if _is_text(field.type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        return file.read(use_threads=False)


def _require_bounded(metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(c) for group in groups for c in range(group.num_columns)]
    values = max((chunk.num_values for chunk in chunks), default=0)
    if max(values, metadata.num_rows, *(group.num_rows for group in groups), 0) > MOST_VALUES:
        raise TooLarge(f"it states more than {MOST_VALUES:,} rows or values in a column")
    if sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks) > MOST_UNPACKED_BYTES:
        raise TooLarge(f"it unpacks to more than {MOST_UNPACKED_BYTES >> 30} GB")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))
