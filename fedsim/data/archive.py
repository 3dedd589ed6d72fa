"""Finding or downloading published archives, and verifying them.

The git blob id of an archive is known, so any content other than the published one is refused.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from fedsim.data.arrays import Arrays
from fedsim.data.cache import is_cached, load_or_decode
from fedsim.data.sources.base import SourceLocation
from fedsim.errors import DataError, listed
from fedsim.files import replacing

CHUNK_BYTES = 1 << 20
MOST_DOWNLOADED_BYTES = 1 << 30
SECONDS_OF_SILENCE = 30


@dataclass(frozen=True)
class Archive:
    """A gzipped tar archive: its file name, its URL, and the git blob id of its bytes."""

    file_name: str
    url: str
    blob_id: str


def git_blob_id(path: Path) -> str:
    """Return git's id of a file: the SHA-1 of "blob", the size, NUL and the content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def load_archive(
    archive: Archive,
    name: str,
    place: SourceLocation,
    *,
    decoder: int,
    decode: Callable[[Path], Arrays],
) -> Arrays:
    """Return an archive's arrays from the cache; if they are missing, obtain and decode it.

    Parameters
    ----------
    decoder
        The version of `decode`.
    decode
        Reads the arrays from the verified archive.

    Raises
    ------
    DataError
        If the archive is not available, or `decode` refuses it.
    """

    def from_archive() -> Arrays:
        path = obtain(archive, name, place)
        place.say(f"{name}: decoding {path} (once)")
        try:
            return decode(path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    return load_or_decode(place, name, decoder=decoder, source=archive.blob_id, decode=from_archive)


def obtain(archive: Archive, name: str, place: SourceLocation) -> Path:
    """Return a verified copy of `archive`, downloading it if no data directory was given.

    Parameters
    ----------
    name
        The data set's name, which is also the sub-folder of the data directory that is searched.

    Raises
    ------
    DataError
        If the data directory lacks the file, the download fails, or the content is not the
        published one.
    """
    found = _own_copy(archive, name, place)
    if found is None:
        kept = place.cache_dir / "downloads" / f"{archive.blob_id[:16]}-{archive.file_name}"
        if not kept.exists():
            _download(archive, kept, place)
        return _verified(kept, archive)
    return _verified(found, archive)


def require_archive(archive: Archive, name: str, place: SourceLocation, *, decoder: int) -> None:
    """Raise `DataError` if a data directory lacks an archive that is not in the cache."""
    if not is_cached(place, name, decoder=decoder, source=archive.blob_id):
        _own_copy(archive, name, place)


def _own_copy(archive: Archive, name: str, place: SourceLocation) -> Path | None:
    """Return the archive in the data directory; None if no data directory was given."""
    folders = place.folders(name)
    if not folders:
        return None
    for folder in folders:
        if (folder / archive.file_name).is_file():
            return folder / archive.file_name
    raise DataError(
        f"needs the file {archive.file_name} in one of {listed(folders)}; without a data "
        "directory it is downloaded"
    )


def _verified(path: Path, archive: Archive) -> Path:
    found = git_blob_id(path)
    if found != archive.blob_id:
        raise DataError(
            f"{path} is not the published {archive.file_name}: its git blob id is {found}, not "
            f"{archive.blob_id}"
        )
    return path


def _download(archive: Archive, path: Path, place: SourceLocation) -> None:
    place.say(f"downloading {archive.url}")
    try:
        with (
            requests.get(archive.url, stream=True, timeout=SECONDS_OF_SILENCE) as reply,
            replacing(path) as temporary,
        ):
            reply.raise_for_status()
            _receive(reply, temporary, archive, place)
            _verified(temporary, archive)
    except requests.RequestException as error:
        raise DataError(
            f"cannot download {archive.url} ({type(error).__name__}); get it by other means and "
            "name its directory with --data-dir"
        ) from error


def _receive(reply: requests.Response, path: Path, archive: Archive, place: SourceLocation) -> None:
    received, reported = 0, 0
    total = int(reply.headers.get("Content-Length", 0))
    with path.open("wb") as file:
        for chunk in reply.iter_content(CHUNK_BYTES):
            received += len(chunk)
            if received > MOST_DOWNLOADED_BYTES:
                raise DataError(f"{archive.url} sends more than {MOST_DOWNLOADED_BYTES} bytes")
            file.write(chunk)
            if total and received * 10 // total > reported:
                reported = received * 10 // total
                place.say(f"{archive.file_name}: {reported * 10} % of {total / 1e6:.1f} MB")
