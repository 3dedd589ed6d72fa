"""What a reader may never do, watched from inside the interpreter.

Python tells audit hooks of every file that is opened and every process that is started. While the
guard is armed, anything that data could only reach by being executed, and any change to a file
outside one folder, ends the input with `Escaped`, which no reader catches.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXECUTES = frozenset(
    {
        *("pickle.find_class", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
        *("subprocess.Popen", "socket.connect", "ctypes.dlopen", "shutil.unpack_archive"),
    }
)
CHANGES: dict[str, dict[int, int | None]] = {
    "os.remove": {0: 1},
    "os.rmdir": {0: 1},
    "os.mkdir": {0: 2},
    "os.chmod": {0: 2},
    "os.chown": {0: 3},
    "os.utime": {0: 3},
    "os.rename": {0: 2, 1: 3},
    "os.link": {1: 3},
    "os.symlink": {1: 2},
    "os.truncate": {0: None},
}
"""By event: which arguments are paths that change, and which is the folder they lie in."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Escaped(BaseException):
    """A reader did what no data may make it do."""


_armed: list[tuple[str, frozenset[str]]] = []
"""A hook cannot be taken back, so there is one, and this says where it acts, and what may be."""
_installed: list[bool] = []
_loaded: set[object] = set()


@contextmanager
def armed(folder: Path, may: frozenset[str] = frozenset()) -> Iterator[None]:
    """Let nothing be executed, and nothing be changed outside `folder`, in one block.

    `may` names events that are let through.
    """
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    _armed.append((str(folder.resolve()), may))
    try:
        yield
    finally:
        _armed.pop()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _armed or event in _armed[-1][1]:
        return
    if event in EXECUTES and not (event == "ctypes.dlopen" and _is_loaded(arguments[0])):
        raise Escaped(f"{event} {arguments[:1]}")
    if event == "open" and arguments[2] is not None and arguments[2] & WRITES:
        _require_inside(event, arguments[0])
    for place, folder in CHANGES.get(event, {}).items():
        _require_inside(event, arguments[place], -1 if folder is None else arguments[folder])


def _is_loaded(library: object) -> bool:
    """Return whether a library is in this process already: to look it up executes nothing."""
    if library not in _loaded:
        _loaded.update(
            line.split()[-1]
            for line in Path("/proc/self/maps").read_text().split("\n")
            if "/" in line
        )
    return library in _loaded


def _require_inside(event: str, path: object, folder: int = -1) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    base = Path() if folder == -1 else Path(f"/proc/self/fd/{folder}").resolve()
    real = os.path.realpath(base / os.fsdecode(path))
    if not real.startswith(_armed[-1][0]) and real != os.devnull:
        raise Escaped(f"{event} {real}")
