"""The contract of a data source, which finds, decodes and returns all records of a data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fedsim.data.arrays import Arrays
from fedsim.errors import ConfigError, DataError
from fedsim.files import usable_path


def discard_message(message: str) -> None:
    """Drop a message; the default if there is no listener."""


@dataclass(frozen=True)
class SourceLocation:
    """The folders in which a source finds and stores files, and its listener.

    Parameters
    ----------
    cache_dir
        The folder for downloads and decoded arrays.
    data_dir
        The folder with the user's files; None means that the source may download them.
    say
        Called with a line of progress from time to time during long work.
    beside
        The folder of the experiment's file, if there is one.
    objective
        The name of the experiment's objective, if it names one.
    """

    cache_dir: Path
    data_dir: Path | None = None
    say: Callable[[str], None] = discard_message
    beside: Path | None = None
    objective: str | None = None

    def find(self, path: str, setting: str = "path") -> Path:
        """Return the file or folder that a setting names.

        It is searched in the data directory, beside the experiment, and in the current folder.

        Raises
        ------
        DataError
            If it is in none of them. The sentence lists the searched folders.
        """
        places = self._places(path, setting)
        for found in places:
            if is_there(found):
                return found
        looked = ", ".join(map(str, places))
        raise DataError(f"{setting} is {path}, which is not there: looked for {looked}")

    def folder(self, path: str) -> Path | None:
        """Return the folder that a setting names, or None if it is another kind of name."""
        return next((found for found in self._places(path) if is_folder(found)), None)

    def _places(self, path: str, setting: str = "path") -> list[Path]:
        """Return the places in which a path is searched, in order."""
        try:
            given = usable_path(path, setting).expanduser()
        except ConfigError as error:
            raise DataError(str(error)) from error
        if given.is_absolute():
            return [given]
        folders = [self.data_dir, self.beside, Path.cwd()]
        return list(dict.fromkeys(folder / given for folder in folders if folder is not None))

    def folders(self, *names: str) -> tuple[Path, ...]:
        """Return the folders to search: the data directory and its sub-folders `names`.

        Raises
        ------
        DataError
            If the data directory was given but does not exist.
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
        """Return all records, after downloading and decoding them if necessary."""
        ...


@runtime_checkable
class FileSource(Source, Protocol):
    """A source that can report missing files before anything is decoded.

    This is optional. Missing files of other sources are reported only when they are read, after
    all other faults of an experiment.
    """

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if a file that `arrays` would read, and not download, is missing."""
        ...


def is_there(path: Path) -> bool:
    """Return whether a path exists; a path that is too long for any file does not."""
    try:
        return path.exists()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; see `is_there`."""
    return is_there(path) and path.is_dir()
