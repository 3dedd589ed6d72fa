"""Breaking parquet files: bytes, footers and page headers, and tables written with other content.

What a reader does with a sound file of another table is found only by writing one: broken bytes
rarely get past parquet's own checks.
"""

import io
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.mutators import raw, trees

MAGIC = b"PAR1"
ColumnMaker = Callable[[int], pa.Array]
COLUMNS: tuple[ColumnMaker, ...] = (
    lambda n: pa.array(range(n), pa.int64()),
    lambda n: pa.array([2**63 - 1] * n, pa.int64()),
    lambda n: pa.array([-1] * n, pa.int64()),
    lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    lambda n: pa.array(range(n), pa.int32()),
    lambda n: pa.array([0.5] * n, pa.float64()),
    lambda n: pa.array([float("nan")] * n, pa.float64()),
    lambda n: pa.array([float("inf")] * n, pa.float32()),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([None] * n, pa.bool_()),
    lambda n: pa.nulls(n),
    lambda n: pa.array([None] * n, pa.int64()),
    lambda n: pa.array(["x"] * n),
    lambda n: pa.array(["known\x1b[2J\n"] * n),
    lambda n: pa.array([b"\xff\x00"] * n, pa.binary()),
    lambda n: pa.array([[1]] * n, pa.list_(pa.int32())),
    lambda n: pa.array([[-5, 7, None]] * n, pa.list_(pa.int32())),
    lambda n: pa.array([[2**31 - 1]] * n, pa.list_(pa.int32())),
    lambda n: pa.array([[[1.0]]] * n, pa.list_(pa.list_(pa.float64()))),
    lambda n: pa.array([[float(i)] * (i % 3) for i in range(n)], pa.list_(pa.float64())),
    lambda n: pa.array([{"a": 1}] * n, pa.struct([("a", pa.int8())])),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int8())),
    lambda n: pa.array([0] * n, pa.timestamp("ns")),
    lambda n: pa.array([0] * n, pa.date32()),
    lambda n: pa.array([0] * n, pa.duration("us")),
    lambda n: pa.array(["a"] * n).dictionary_encode(),
    lambda n: pa.array([1] * n, pa.decimal128(5)),
)


def written(table: pa.Table, **options: Any) -> bytes:
    """Return a table as the bytes of a parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def mutated(table: pa.Table, content: bytes, random: Random, names: Sequence[str]) -> bytes:
    """Return a broken parquet file.

    Parameters
    ----------
    table, content
        A sound table, and its file.
    names
        Column names worth a try.
    """
    kind = random.random()
    if kind < 0.3:
        return raw.mutated(content, random)
    if kind < 0.5:
        return _broken_footer(content, random)
    changed = table
    try:
        for _ in range(random.choice((1, 1, 2, 3))):
            changed = random.choice(CHANGES)(changed, random, names)
        return written(changed, compression=random.choice(("zstd", "none", "snappy", "gzip")))
    except (pa.ArrowException, ValueError, KeyError):  # not every table can be made, or written
        return raw.mutated(content, random)


def _broken_footer(content: bytes, random: Random) -> bytes:
    """Break only the footer, which holds the schema, the sizes and the places of all columns."""
    size = int.from_bytes(content[-8:-4], "little")
    data, footer = content[: -8 - size], content[-8 - size : -8]
    broken = raw.mutated(footer, random)
    stated = random.choice((len(broken), len(broken), len(broken), 2**32 - 1, size, 0))
    return data + broken + stated.to_bytes(4, "little") + MAGIC


def _replace(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    if not table.num_columns:
        return table
    place = random.randrange(table.num_columns)
    values = random.choice(COLUMNS)(table.num_rows)
    return table.set_column(place, table.column_names[place], values)


def _add(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    """Add a column, perhaps one of a name that is there."""
    name = random.choice([*names, *table.column_names, *trees.TEXTS])
    if "\ud800" in name:
        return table
    return table.append_column(name, random.choice(COLUMNS)(table.num_rows))


def _drop(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    if not table.num_columns:
        return table
    return table.remove_column(random.randrange(table.num_columns))


def _rename(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    renamed = list(table.column_names)
    if renamed:
        renamed[random.randrange(len(renamed))] = random.choice([*names, *renamed, "", "\x1b[2J"])
    return table.rename_columns(renamed)


def _rows(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    """Drop, double or shuffle rows."""
    count = table.num_rows
    kept = random.choice(
        (
            [],
            list(range(count)) * 2,
            list(range(count // 2)),
            random.sample(range(count), count),
            [0] * min(count, 1),
        )
    )
    return table.take(pa.array(kept, pa.int64()))


def _edit_cell(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    """Change one cell, or empty it, with the type of its column."""
    if not table.num_columns or not table.num_rows:
        return table
    place, row = random.randrange(table.num_columns), random.randrange(table.num_rows)
    column = table.column(place)
    cells = column.to_pylist()
    cells[row] = random.choice((None, trees.scalar(random), cells[row - 1]))
    try:
        return table.set_column(place, table.column_names[place], pa.array(cells, column.type))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return table


def _metadata(table: pa.Table, random: Random, names: Sequence[str]) -> pa.Table:
    """Break what our formats keep beside the columns: JSON, or a number."""
    kept = dict(table.schema.metadata or {})
    if not kept:
        return table
    key = random.choice(list(kept))
    try:
        told = json.dumps(trees.mutated(json.loads(kept[key]), random)).encode()
    except (ValueError, RecursionError):
        told = b"?"
    kept[key] = random.choice(
        (told, told, raw.mutated(kept[key], random), b"", b"9" * 5000, b"[" * 50_000, b"10" * 6)
    )
    if random.random() < 0.1:
        del kept[key]
    return table.replace_schema_metadata(kept)


CHANGES: tuple[Callable[[pa.Table, Random, Sequence[str]], pa.Table], ...] = (
    _replace,
    _replace,
    _add,
    _drop,
    _rename,
    _rows,
    _edit_cell,
    _edit_cell,
    _metadata,
    _metadata,
)
