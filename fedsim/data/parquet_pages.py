"""Reading the sizes that a parquet file and its pages state, before anything is unpacked.

The footer states the number of values of a column, but readers rely on the pages, so a wrong footer
could make a reader allocate gigabytes. Arrow has no access to the headers of pages, and its access
to a footer's columns ends the process if the footer is damaged. Footer and headers are Thrift
structs in the compact protocol (https://parquet.apache.org/docs/file-format). This module reads the
necessary part of the protocol; the field numbers are those of ``parquet.thrift``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MAGIC = b"PAR1"
MOST_FOOTER_BYTES = 16 << 20
MOST_HEADER_BYTES = 1 << 16
DEEPEST = 16
_PAGE_KINDS = (5, 7, 8)  # field numbers: data page, dictionary page, data page version 2
_STOP, _TRUE, _FALSE, _BYTE, _NUMBERS, _DOUBLE, _BINARY = 0, 1, 2, 3, (4, 5, 6), 7, 8
_LIST, _SET, _STRUCT = 9, 10, 12


@dataclass(frozen=True)
class Page:
    """A page of a column: the numbers of its values and of their unpacked bytes, as it states."""

    column: int
    values: int
    unpacked_bytes: int


def stated_rows(footer: dict[int, Any]) -> int:
    """Return the number of rows that a footer states: its total or the sum over row groups."""
    return max(_size(footer, 3), sum(_size(group, 3) for group in _structs(footer, 4)))


def read_footer(file: BinaryIO) -> dict[int, Any]:
    """Return the footer of a parquet file, by field number.

    Raises
    ------
    ValueError
        If there is no footer, or it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != MAGIC or length > min(size - 8, MOST_FOOTER_BYTES):
        raise ValueError("it has no footer of parquet's")
    file.seek(size - 8 - length)
    return _Compact(file.read(length)).struct()


def pages(file: BinaryIO, footer: dict[int, Any]) -> Iterator[Page]:
    """Yield every page of a file.

    Raises
    ------
    ValueError
        If a header cannot be read, or the pages are not where the footer says.
    """
    for group in _structs(footer, 4):
        for column, chunk in enumerate(_structs(group, 1)):
            known = chunk.get(3)
            if not isinstance(known, dict):
                raise ValueError("a column does not say where it lies")
            starts = [known[number] for number in (9, 11) if _is_size(known.get(number))]
            at = min((start for start in starts if start > 0), default=0)
            end = at + _size(known, 7)
            while at < end:
                file.seek(at)
                header = _Compact(file.read(MOST_HEADER_BYTES))
                stated = header.struct()
                kinds = [stated[kind] for kind in _PAGE_KINDS if isinstance(stated.get(kind), dict)]
                if len(kinds) != 1:
                    raise ValueError("a page does not say what it is")
                yield Page(column, _size(kinds[0], 1), _size(stated, 2))
                at += header.at + _size(stated, 3)


def _structs(fields: dict[int, Any], number: int) -> list[dict[int, Any]]:
    found = fields.get(number, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("its footer is none of parquet's")
    return found


def _size(fields: dict[int, Any], number: int) -> int:
    found = fields.get(number)
    if not isinstance(found, int) or not _is_size(found):
        raise ValueError("it does not state a size")
    return found


def _is_size(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


class _Compact:
    """A reader of bytes in Thrift's compact protocol."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return a struct's fields by number: numbers, structs and lists; None for other types."""
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else _signed(self._varint())
            kind = head & 15
            fields[number] = (
                kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)
            )
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _NUMBERS:
            return _signed(self._varint())
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (_LIST, _SET) and depth <= DEEPEST:
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
            self._skip(8 if kind == _DOUBLE else 1)
        else:
            raise ValueError("it holds what parquet does not")
        return None

    def _byte(self) -> int:
        self._skip(1)
        return self._content[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80 and shift < 63:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | (byte & 0x7F) << shift

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._content):
            raise ValueError("it does not end where it should")


def _signed(zigzag: int) -> int:
    return (zigzag >> 1) ^ -(zigzag & 1)
