"""Base classes of data sources that are tables: settings, test file, and errors with the path.

A new file format is a class that derives from `TableFile` and has one method, `read`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from fedsim.data.arrays import Arrays
from fedsim.data.columns import ColumnSettings, read_columns
from fedsim.data.feature_columns import Categories
from fedsim.data.images import checked_size
from fedsim.data.sources.base import SourceLocation
from fedsim.data.standardise import standardise
from fedsim.data.tokens import BYTES, TextSettings
from fedsim.errors import DataError


@dataclass
class TableSource:
    """A table: a label column, a user column, the rest features.

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
    categories
        What becomes of texts among the features: ``one-hot`` columns, or ``refuse``.
    standardise
        Whether features get mean 0 and standard deviation 1 over the training rows (over all, where
        test records are drawn); of images, each channel.
    objective
        What the labels are for; none means the experiment's.
    text
        A column of texts that are the features, as token ids.
    tokenizer
        ``bytes``, or your own as module:function or module:Class, from a text to a list of ids.
    max_length
        Tokens per text; longer ones are cut, shorter ones padded.
    padding
        The id behind a text's end; none means 256 for bytes and 0 for others.
    """

    path: str
    _: KW_ONLY
    label: str | list[str] | None = None
    features: list[str] | None = None
    user: str | None = None
    categories: Categories = "one-hot"
    standardise: bool = False
    objective: str | None = None
    text: str | None = None
    tokenizer: str = BYTES
    max_length: int = 128
    padding: int | None = None

    def columns(self) -> ColumnSettings:
        """Return the roles of the columns."""
        return ColumnSettings(
            label=tuple(self.label) if isinstance(self.label, list) else self.label,
            features=None if self.features is None else tuple(self.features),
            user=self.user,
            categories=self.categories,
            text=self.text,
            tokens=TextSettings(self.tokenizer, self.max_length, self.padding),
            objective=self.objective,
        )

    def read_records(
        self,
        tables: Sequence[pa.Table],
        where: str,
        place: SourceLocation,
        class_names: tuple[str, ...] | None = None,
    ) -> Arrays:
        """Return the records of one table, or of two: the second has the test records.

        Parameters
        ----------
        where
            The name of the source, for error messages.
        class_names
            The names of classes 0..C-1, if they are known and the labels are these numbers.

        Raises
        ------
        DataError
            If the tables have different columns, or a column is not valid.
        """
        columns = replace(self.columns(), objective=self.objective or place.objective)
        try:
            table, test = _join_tables(tables)
            arrays = read_columns(table, columns, test=test, class_names=class_names)
            return standardise(arrays) if self.standardise else arrays
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: a text in it is not UTF-8") from error
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{where}: a column cannot be read: {reason}") from error


@dataclass(kw_only=True)
class ImageColumn(TableSource):
    """A table whose features may be a column of encoded images.

    Parameters
    ----------
    image
        A column of JPEG, PNG or TIFF files that are the features.
    size
        A side, or [height, width], that images are resized to; none means that all have one size.
    channels
        1 for grayscale, 3 for colour.
    """

    image: str | None = None
    size: int | list[int] | None = None
    channels: Literal[1, 3] = 3

    def __post_init__(self) -> None:
        """Refuse a size that is not valid."""
        checked_size(self.size)

    def columns(self) -> ColumnSettings:
        """Return the roles of the columns."""
        size = checked_size(self.size)
        return replace(super().columns(), image=self.image, size=size, channels=self.channels)


@dataclass(kw_only=True)
class TableFile(TableSource, ABC):
    """A file with a table, and perhaps a second one with the test records.

    Parameters
    ----------
    split
        A column that says which rows are test records: those that hold `test_value`.
    test_value
        What `split` holds for test records.
    test_path
        Instead of `split`, a second file with the test records.

    Examples
    --------
    A new format needs `read` only and inherits all settings:

    >>> import pyarrow.feather
    >>> from fedsim import TableFile
    >>> class Feather(TableFile):
    ...     def read(self, path):
    ...         return pyarrow.feather.read_table(path)
    >>> Feather("visits.feather", label="stays", user="who").label
    'stays'
    """

    format_name: ClassVar[str] = "a table"
    """The name of the format in error messages."""

    split: str | None = None
    test_value: str | int | bool = "test"
    test_path: str | None = None

    @abstractmethod
    def read(self, path: Path) -> pa.Table:
        """Return the table in a file.

        Raises
        ------
        DataError, OSError, ValueError, pa.ArrowException
            If it cannot be read.
        """

    def columns(self) -> ColumnSettings:
        """Return the roles of the columns."""
        return replace(super().columns(), split=self.split, test_value=self.test_value)

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the file's records, followed by those of `test_path`."""
        if self.test_path is not None and self.split is not None:
            raise DataError("it has both split and test_path; leave one of them out")
        found = place.find(self.path)
        tables = [self._table(found, "path")]
        if self.test_path is not None:
            tables.append(self._table(place.find(self.test_path, "test_path"), "test_path"))
        return self.read_records(tables, str(found), place)

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if files are missing."""
        faults = []
        for setting, path in (("path", self.path), ("test_path", self.test_path)):
            try:
                if path is not None and not place.find(path, setting).is_file():
                    faults.append(f"{setting} is {path}, which is no file")
            except DataError as error:
                faults.append(str(error))
        if faults:
            raise DataError("; ".join(faults))

    def _table(self, path: Path, setting: str) -> pa.Table:
        try:
            return self.read(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{setting} {path} cannot be read as {self.format_name}: {reason}"
            ) from error


def _join_tables(tables: Sequence[pa.Table]) -> tuple[pa.Table, np.ndarray | None]:
    """Return training and test rows as one table, and a mask of the test records."""
    if len(tables) == 1:
        return tables[0], None
    try:
        whole = pa.concat_tables(
            [_without_dictionaries(table) for table in tables], promote_options="permissive"
        )
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"it and its test records have different columns: {reason}") from error
    return whole, np.repeat([False, True], [len(table) for table in tables])


def _without_dictionaries(table: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
