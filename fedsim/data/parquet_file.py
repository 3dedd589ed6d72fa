"""Reading parquet with bounds, because a few hundred bytes may unpack to more than the memory.

Repeated values take almost no room in parquet, so a file's size limits nothing. The numbers of
rows, values and unpacked bytes that the footer and every page state are checked before a column is
decoded. Texts are decoded as indices into a dictionary, whose size does not depend on their length.
"""

from collections import Counter
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from fedsim.data.parquet_pages import pages, read_footer, stated_rows

MOST_VALUES = 1 << 26
"""The most values in a column: fifty times the number of records in ImageNet."""
MOST_CELLS = 1 << 31
"""The most values in all columns together: 10 million rows of 200 numbers."""
MOST_PAGE_BYTES = 64 << 20
"""The most unpacked bytes of a page; writers begin a new page after 1 MB."""


class TooLarge(ValueError):  # noqa: N818 - the name is the reason
    """A file states a size above the bounds."""


def read_parquet(path: Path) -> pa.Table:
    """Return the table in a parquet file; its columns of texts are dictionaries.

    Raises
    ------
    OSError, ValueError, pa.ArrowException
        If it cannot be read, or exceeds the bounds.
    """
    with path.open("rb") as file:
        _require_bounded(file)
    # Not `pq.read_table`, which would read a column from a folder named "a=b".
    with pq.ParquetFile(path) as opened:
        texts = [field.name for field in opened.schema_arrow if _is_text(field.type)]
    with pq.ParquetFile(path, read_dictionary=texts) as known:
        return known.read(use_threads=False)


def _require_bounded(file: BinaryIO) -> None:
    footer = read_footer(file)
    if stated_rows(footer) > MOST_VALUES:
        raise TooLarge(f"it states more than {MOST_VALUES:,} rows")
    values: Counter[int] = Counter()
    for page in pages(file, footer):
        values[page.column] += page.values
        if values[page.column] > MOST_VALUES:
            raise TooLarge(f"it states more than {MOST_VALUES:,} values in a column")
        if sum(values.values()) > MOST_CELLS:
            raise TooLarge(f"it states more than {MOST_CELLS:,} values")
        if page.unpacked_bytes > MOST_PAGE_BYTES:
            raise TooLarge(f"a page unpacks to {page.unpacked_bytes:,} bytes")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))
