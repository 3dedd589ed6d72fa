"""Loading a data set by its name, for the simulator and ``fedsim data fetch``.

A data-set plugin is a class with an ``arrays`` method (see `Source`), or a plain function that
returns `Arrays` or a pair of features and labels.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedsim import plugins
from fedsim.data.arrays import Arrays
from fedsim.data.cache import default_cache_dir
from fedsim.data.dataset import Dataset
from fedsim.data.sources.base import FileSource, Source, SourceLocation, discard_message
from fedsim.data.splitting import from_arrays
from fedsim.data.targets import mapping_sentence
from fedsim.errors import DataError, FedsimError

GROUP = "datasets"


@dataclass(frozen=True)
class Fetched:
    """What `fetch` has stored: the number and shape of records, and the folder, if any."""

    name: str
    records: int
    num_classes: int
    input_shape: tuple[int, ...]
    size_in_bytes: int
    folder: Path | None


def load_dataset(
    name: str,
    settings: Mapping[str, object],
    *,
    data_dir: Path | None,
    cache_dir: Path | None = None,
    seed: int,
    test_records: int | None = None,
    say: Callable[[str], None] | None = None,
    objective: str | None = None,
    beside: Path | None = None,
    test_by_user: bool = False,
) -> Dataset:
    """Return the data set `name`.

    Parameters
    ----------
    name
        An installed data set, or a user's own as ``module:attribute``.
    settings
        Its settings, checked against its signature.
    data_dir
        The folder with its files; None allows downloads.
    cache_dir
        The folder for decoded arrays and downloads (default: `default_cache_dir`).
    seed, test_records
        The seed and size of a random test split, if the source has no split (default: a fifth of
        the records).
    say
        Called with a line of progress from time to time while data are fetched and decoded.
    objective
        The experiment's objective; None leaves it to the source.
    beside
        The folder of the experiment's file, in which relative paths are searched.
    test_by_user
        Whether a random test split holds out all records of a user together, if there are users.

    Raises
    ------
    PluginError
        If there is no such data set or a setting is not valid.
    DataError
        If its files are missing or damaged, or its arrays are not valid.
    """
    with _naming(name):
        arrays = _arrays(name, settings, data_dir, cache_dir, say, objective, beside)
        if arrays.label_values is not None and say is not None:
            say(f"{name}: {mapping_sentence(arrays.label_values, len(arrays))}")
        return from_arrays(
            name, arrays, test_records=test_records, seed=seed, test_by_user=test_by_user
        )


def require_files(
    name: str, settings: Mapping[str, object], *, data_dir: Path | None, beside: Path | None = None
) -> None:
    """Raise `DataError` if files of a data set are missing; nothing is decoded or downloaded.

    The parameters are those of `load_dataset`. A source that is a function is not called.

    Raises
    ------
    PluginError
        If there is no such data set, or a setting is not valid.
    """
    if not inspect.isclass(plugins.resolve(GROUP, name)):
        return
    with _naming(name):
        built: Any = plugins.build(GROUP, name, settings)
        if isinstance(built, FileSource):
            _require_files(built, SourceLocation(default_cache_dir(), data_dir, beside=beside))


def fetch(
    name: str,
    settings: Mapping[str, object],
    *,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Fetched:
    """Download and verify a data set in advance, and return what is stored.

    Raises
    ------
    PluginError, DataError
        As for `load_dataset`.
    """
    with _naming(name):
        arrays = _arrays(name, settings, data_dir, cache_dir, say)
    features = arrays.features
    file = features.filename if isinstance(features, np.memmap) else None
    return Fetched(
        name=name,
        records=len(arrays.labels),
        num_classes=arrays.num_classes or 0,
        input_shape=features.shape[1:],
        size_in_bytes=features.nbytes + arrays.labels.nbytes,
        folder=None if file is None else Path(file).parent,
    )


def _arrays(
    name: str,
    settings: Mapping[str, object],
    data_dir: Path | None,
    cache_dir: Path | None,
    say: Callable[[str], None] | None,
    objective: str | None = None,
    beside: Path | None = None,
) -> Arrays:
    built: Any = plugins.build(GROUP, name, settings)
    place = SourceLocation(
        cache_dir=cache_dir or default_cache_dir(),
        data_dir=data_dir,
        say=say or discard_message,
        beside=beside,
        objective=objective,
    )
    found = _read(built, place) if isinstance(built, Source) else built
    if isinstance(found, tuple) and len(found) == 2:
        found = Arrays(*found, objective=objective)
    if not isinstance(found, Arrays):
        raise DataError(
            f"it returned a {type(found).__name__}; valid: Arrays, a pair (features, labels), or "
            "an object whose arrays(place) returns Arrays"
        )
    return found


def _read(source: Source, place: SourceLocation) -> Arrays:
    try:
        return source.arrays(place)
    except (FedsimError, MemoryError):
        raise
    except Exception as error:  # a third party's source may raise anything
        message = f"{plugins.one_line(error)}{plugins.raised_in(error)}"
        raise DataError(f"its arrays(place) failed: {message}") from error


def _require_files(source: FileSource, place: SourceLocation) -> None:
    try:
        source.require_files(place)
    except FedsimError:
        raise
    except Exception as error:  # as in `_read`
        message = f"{plugins.one_line(error)}{plugins.raised_in(error)}"
        raise DataError(f"its require_files(place) failed: {message}") from error


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the data set in any error raised within the context."""
    try:
        yield
    except DataError as error:
        raise DataError(f"data set {name}: {error}") from error
