"""What a data source is: something that finds, decodes and returns all of a data set's records."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fedsim.data.arrays import Arrays
from fedsim.errors import DataError


def unheard(message: str) -> None:
    """Take a message that nobody wants to hear."""


@dataclass(frozen=True)
class SourceLocation:
    """Where a source looks, keeps, and tells.

    Parameters
    ----------
    cache_dir
        For downloads and decoded arrays.
    data_dir
        Where the user has the files; None means that the source may download them.
    say
        Called with one line now and then during work that takes long.
    """

    cache_dir: Path
    data_dir: Path | None = None
    say: Callable[[str], None] = unheard

    def folders(self, *names: str) -> tuple[Path, ...]:
        """Return the folders to look in: the data directory and its sub-folders `names`.

        Raises
        ------
        DataError
            If the data directory was given but is not there.
        """
        if self.data_dir is None:
            return ()
        if not self.data_dir.is_dir():
            raise DataError(f"the data directory {self.data_dir} does not exist")
        return (self.data_dir, *(self.data_dir / name for name in names))


@runtime_checkable
class Source(Protocol):
    """A data-set plugin that is a class; its constructor's parameters are its settings."""

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all records, decoding or downloading them if `place` does not have them yet."""
        ...
