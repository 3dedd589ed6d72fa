"""Reading files within bounds, whatever size they state.

A size is checked before anything of that size is allocated. For tables see
`fedsim.data.parquet_file`.
"""

import errno
import json
from pathlib import Path
from typing import Any

MOST_TEXT_BYTES = 64 << 20
"""No file of text or JSON that fedsim writes comes near this size."""


def read_bytes(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return what is in a file.

    Raises
    ------
    OSError
        If it cannot be read, or holds more than `most` bytes, whatever it says its size is.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MB", str(path))
    return content


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return what is in a file of UTF-8.

    Raises
    ------
    OSError
        As `read_bytes`.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    return read_bytes(path, most).decode("utf-8")


def parsed_json(text: str | bytes) -> Any:
    """Return JSON as plain data.

    Raises
    ------
    ValueError
        If it is not JSON, or nested more deeply than any file of ours.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """Return a file of JSON as plain data.

    Raises
    ------
    OSError, ValueError
        As `read_bytes` and `parsed_json`.
    """
    return parsed_json(read_bytes(path))
