"""What the sources that are tables share: finding a file and its test file, and joining them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from fedsim.data.arrays import Arrays
from fedsim.data.columns import ColumnSettings, arrays_of
from fedsim.data.sources.base import SourceLocation
from fedsim.errors import DataError


def read_with_test_file(
    read: Callable[[Path], pa.Table],
    path: str,
    test_path: str | None,
    columns: ColumnSettings,
    place: SourceLocation,
) -> Arrays:
    """Return the records of a file, and of a second one as test records behind them.

    Raises
    ------
    DataError
        If a file is not there or cannot be read, or a column does not fit.
    """
    if test_path is not None and columns.split is not None:
        raise DataError("it has both split and test_path; leave one of them out")
    found = place.find(path)
    tables = [read(found)]
    if test_path is not None:
        tables.append(read(place.find(test_path)))
    table, test = joined(tables, str(found))
    columns = replace(columns, objective=columns.objective or place.objective)
    try:
        return arrays_of(table, columns, test=test)
    except DataError as error:
        raise DataError(f"{found}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{found}: a text in it is not UTF-8") from error
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{found}: a column cannot be read: {reason}") from error


def joined(tables: list[pa.Table], where: str) -> tuple[pa.Table, np.ndarray | None]:
    """Return training and test rows as one table, and which rows are test records."""
    if len(tables) == 1:
        return tables[0], None
    try:
        whole = pa.concat_tables(
            [_without_dictionaries(table) for table in tables], promote_options="permissive"
        )
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{where} and its test file have different columns: {reason}") from error
    return whole, np.repeat([False, True], [len(table) for table in tables])


def _without_dictionaries(table: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
