"""Reading members of a gzipped tar archive without unpacking it.

Members are read as a stream, by their exact name, and never written to a path, so links, absolute
names and ``..`` in an archive have nothing to act on. What may be decompressed is bounded.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TypeVar

from fedsim.errors import DataError, listed

Parsed = TypeVar("Parsed")

MOST_UNPACKED_BYTES = 4 << 30


class _Bounded:
    """A stream that refuses to give more than `most` bytes: the end of a decompression bomb."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise DataError("it unpacks to more than any published data set")
        return content


def read_members(
    path: Path,
    parsers: Mapping[str, Callable[[IO[bytes]], Parsed]],
    *,
    most_bytes: int = MOST_UNPACKED_BYTES,
) -> dict[str, Parsed]:
    """Parse the named members of an archive as they stream by, and return the results by name.

    Parameters
    ----------
    parsers
        By exact member name, what to do with its content.
    most_bytes
        How much the archive may unpack to, members that are passed over included.

    Raises
    ------
    DataError
        If the archive is damaged or unpacks to too much, or a member is missing, not a plain file,
        or refused by its parser.
    """
    results: dict[str, Parsed] = {}
    try:
        with (
            gzip.open(path) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, most_bytes), mode="r|") as members,  # type: ignore[call-overload]
        ):
            for member in members:
                if member.name in parsers and member.name not in results:
                    # Opening a link would open what it points at, so only plain files are opened.
                    content = members.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise DataError(f"its member {member.name} is not a plain file")
                    results[member.name] = parsers[member.name](content)
                if len(results) == len(parsers):
                    break
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"it is damaged and cannot be unpacked ({error})") from error
    missing = set(parsers) - set(results)
    if missing:
        raise DataError(f"it has no member {listed(missing)}")
    return results
