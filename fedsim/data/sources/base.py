"""What a data source is: something that finds, decodes and returns all of a data set's records."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fedsim.data.arrays import Arrays
from fedsim.errors import ConfigError, DataError
from fedsim.files import usable_path


def discard_message(message: str) -> None:
    """Drop a message: the default where no listener is given."""


@dataclass(frozen=True)
class SourceLocation:
    """Where a source looks for files, where it keeps them, and how it reports.

    Parameters
    ----------
    cache_dir
        For downloads and decoded arrays.
    data_dir
        Where the user has the files; None means that the source may download them.
    say
        Called with one line now and then during work that takes long.
    beside
        The folder of the experiment's file, where there is one.
    objective
        The name of the experiment's objective, if it names one.
    """

    cache_dir: Path
    data_dir: Path | None = None
    say: Callable[[str], None] = discard_message
    beside: Path | None = None
    objective: str | None = None

    def find(self, path: str, setting: str = "path") -> Path:
        """Return the file or folder that a setting names: in the data directory, beside, or here.

        Raises
        ------
        DataError
            If it is in none of them; the sentence says where it was looked for.
        """
        places = self._places(path, setting)
        for found in places:
            if is_there(found):
                return found
        looked = ", ".join(map(str, places))
        raise DataError(f"{setting} is {path}, which is not there: looked for {looked}")

    def folder(self, path: str) -> Path | None:
        """Return the folder of a setting that may be another name, or None."""
        return next((found for found in self._places(path) if is_folder(found)), None)

    def _places(self, path: str, setting: str = "path") -> list[Path]:
        """Return where a path may be, in the order in which it is looked for."""
        try:
            given = usable_path(path, setting).expanduser()
        except ConfigError as error:
            raise DataError(str(error)) from error
        if given.is_absolute():
            return [given]
        folders = [self.data_dir, self.beside, Path.cwd()]
        return list(dict.fromkeys(folder / given for folder in folders if folder is not None))

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


@runtime_checkable
class FileSource(Source, Protocol):
    """A source that says before anything is decoded which files of it are not there.

    Sources may do without: their files are then missed when they are read, after what else is wrong
    with an experiment was mended.
    """

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if a file that `arrays` would read, and not download, is not there."""
        ...


def is_there(path: Path) -> bool:
    """Return whether a path is there; one that no file can have, as it is too long, is not."""
    try:
        return path.exists()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; see `is_there`."""
    return is_there(path) and path.is_dir()
