"""Reading JSON that a run keeps: whole and as it was written, or it is called damaged."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from fedsim.errors import RunDirectoryError
from fedsim.files import read_bytes

Content = TypeVar("Content")


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a file: its place, and what it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def read_kept(path: Path, kind: TypeAdapter[Content]) -> Content | None:
    """Return what is in a file; None if there is no file.

    Raises
    ------
    RunDirectoryError
        If it cannot be read, or is damaged.
    """
    try:
        return kind.validate_json(read_bytes(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise RunDirectoryError(f"{path} is damaged: {first_fault(error)}") from None
