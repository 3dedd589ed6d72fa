"""Reading members of a gzipped tar archive without unpacking it.

Members are read as a stream, by their exact name, and never written to a path, so links, absolute
names and ``..`` in an archive have no effect. The decompressed size is bounded, and so is the size
of headers before a member, which tarfile reads into memory completely.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Self, TypeVar

from fedsim.errors import DataError, listed

Parsed = TypeVar("Parsed")

MOST_UNPACKED_BYTES = 4 << 30
MOST_NAME_BYTES = 1 << 20
READS_IN_VAIN = 100
_READ_WHOLE = {
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
}


class _CheckedHeader(tarfile.TarInfo):
    """A member's header, whose stated size is checked before anything of that size is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        most = MOST_NAME_BYTES if header.type in _READ_WHOLE else MOST_UNPACKED_BYTES
        if not 0 <= header.size <= most:
            raise DataError(f"a member of it states a size of {header.size} bytes")
        return header


class _Bounded:
    """A stream that returns at most `most` bytes, as a protection from decompression bombs.

    It also raises an error when it is read beyond its end, so that a wrong size cannot cause an
    endless loop.
    """

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream, self._left, self._in_vain = stream, most, 0

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        self._in_vain += not content
        if self._in_vain > READS_IN_VAIN:
            raise EOFError("it ends in the middle of a member")
        if self._left < 0:
            raise DataError("it unpacks to more than any published data set")
        return content


def read_members(
    path: Path,
    parsers: Mapping[str, Callable[[IO[bytes]], Parsed]],
    *,
    most_bytes: int = MOST_UNPACKED_BYTES,
) -> dict[str, Parsed]:
    """Parse the named members of an archive while streaming it, and return the results by name.

    Parameters
    ----------
    parsers
        The parser of each member's content, by exact member name.
    most_bytes
        The largest size of the unpacked archive, including skipped members.

    Raises
    ------
    DataError
        If the archive is damaged or too large, or a member is missing, not a plain file, or refused
        by its parser.
    """
    results: dict[str, Parsed] = {}
    try:
        with (
            gzip.open(path) as unpacked,
            tarfile.open(  # type: ignore[call-overload]
                fileobj=_Bounded(unpacked, most_bytes), mode="r|", tarinfo=_CheckedHeader
            ) as members,
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
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise DataError(f"it is damaged and cannot be unpacked ({error})") from error
    missing = set(parsers) - set(results)
    if missing:
        raise DataError(f"it has no member {listed(missing)}")
    return results
