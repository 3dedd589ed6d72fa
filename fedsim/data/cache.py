"""The cache of decoded data sets, as memory-mapped arrays.

An entry is a folder with a ``.npy`` file for each array and ``meta.json``, which states the size,
type and shape of the files. It is built under a temporary name and renamed when it is complete, so
that a crash leaves no partial entry, and if two processes build the same entry, the first is kept.
An entry whose files do not match ``meta.json`` is built again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedsim.data.arrays import Arrays
from fedsim.data.sources.base import SourceLocation, is_there
from fedsim.errors import DataError
from fedsim.files import OWNER_ONLY_FILE, make_private_folder, read_json, sync_folder

LAYOUT = 1
META = "meta.json"
ARRAYS = ("features", "labels", "test", "groups")
DETAILS = (
    *("mean", "std", "num_classes", "class_names"),
    *("objective", "label_values", "group_names"),
)


def default_cache_dir() -> Path:
    """Return ``$FEDSIM_CACHE``, or ``fedsim`` in the user's cache directory (``~/.cache``)."""
    chosen = os.environ.get("FEDSIM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedsim"


def load_or_decode(
    place: SourceLocation, name: str, *, decoder: int, source: str, decode: Callable[[], Arrays]
) -> Arrays:
    """Return the entry for `name`, decoding it first if there is none.

    Parameters
    ----------
    decoder
        The version of the code of `decode`; each version has an entry of its own.
    source
        An identifier of the content: a digest, a revision, or a seed with its settings.
    decode
        Returns the arrays; called only if the entry is missing or damaged.

    Raises
    ------
    DataError
        If the cache directory cannot be written.
    """
    entry = _entry(place, name, decoder, source)
    found = _opened(entry)
    if found is not None:
        return found
    if entry.exists():
        place.say(f"{name}: the cached copy in {entry} is damaged, building it again")
        _discard(entry)
    arrays = decode()
    try:
        _store(entry, arrays)
    except OSError as error:
        raise DataError(
            f"cannot be kept in the cache {place.cache_dir} ({error.strerror}); $FEDSIM_CACHE "
            "chooses another directory"
        ) from error
    return _opened(entry) or arrays


def is_cached(place: SourceLocation, name: str, *, decoder: int, source: str) -> bool:
    """Return whether `load_or_decode` would find an entry; its files are not checked."""
    return is_there(_entry(place, name, decoder, source) / META)


def _entry(place: SourceLocation, name: str, decoder: int, source: str) -> Path:
    identity = json.dumps([LAYOUT, name, decoder, source]).encode()
    key = hashlib.blake2b(identity, digest_size=8).hexdigest()
    return place.cache_dir / f"{name}-{key}"


def _opened(entry: Path) -> Arrays | None:
    """Return the entry's memory-mapped arrays; None if it is missing or contradicts its meta."""
    try:
        meta = read_json(entry / META)
        parts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in meta["details"].items()
        }
        for name, facts in meta["arrays"].items():
            parts[name] = _mapped(entry, name, facts)
        return Arrays(**parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return None


def _mapped(entry: Path, name: str, facts: Mapping[str, Any]) -> NDArray[np.generic]:
    if name not in ARRAYS:
        raise ValueError(f"an entry has no array {name}")
    path = entry / f"{name}.npy"
    try:
        array: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # parsing the header as a Python literal may raise anything
        raise ValueError(f"{path} is no array") from error
    if path.stat().st_size != facts["bytes"] or [str(array.dtype), *array.shape] != facts["shape"]:
        raise ValueError(f"{path} is not as it was written")
    return array


def _store(entry: Path, arrays: Arrays) -> None:
    make_private_folder(entry.parent)
    # mkdtemp makes a folder that only its owner can access.
    built = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        facts = {
            name: _written(built / f"{name}.npy", array)
            for name in ARRAYS
            if (array := getattr(arrays, name)) is not None
        }
        details = {name: getattr(arrays, name) for name in DETAILS}
        meta = json.dumps({"arrays": facts, "details": details}, indent=2)
        with _private(built / META) as file:
            file.write(meta.encode())
            _sync(file)
        sync_folder(built)
        _install(built, entry)
    finally:
        shutil.rmtree(built, ignore_errors=True)


def _install(built: Path, entry: Path) -> None:
    try:
        built.rename(entry)
    except OSError:
        if not (entry / META).exists():
            raise
        return  # another process was first, and its entry is equal
    sync_folder(entry.parent)


def _written(path: Path, array: NDArray[np.generic]) -> dict[str, object]:
    with _private(path) as file:
        np.save(file, array, allow_pickle=False)
        _sync(file)
    return {"bytes": path.stat().st_size, "shape": [str(array.dtype), *array.shape]}


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE), "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _discard(entry: Path) -> None:
    """Remove an entry: rename it first and then delete it, so that no reader sees a part of it."""
    away = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        entry.rename(away / "damaged")
    except FileNotFoundError:
        pass  # another process has removed it
    finally:
        shutil.rmtree(away, ignore_errors=True)
