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


_armed: list[str] = []  # a hook cannot be taken back, so there is one, and this says where it acts
_installed: list[bool] = []


@contextmanager
def armed(folder: Path) -> Iterator[None]:
    """Let nothing be executed, and nothing be changed outside `folder`, in one block."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    _armed.append(str(folder.resolve()))
    try:
        yield
    finally:
        _armed.pop()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _armed:
        return
    if event in EXECUTES:
        raise Escaped(f"{event} {arguments[:1]}")
    if event == "open" and arguments[2] is not None and arguments[2] & WRITES:
        _require_inside(event, arguments[0])
    for place, folder in CHANGES.get(event, {}).items():
        _require_inside(event, arguments[place], -1 if folder is None else arguments[folder])


def _require_inside(event: str, path: object, folder: int = -1) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    base = Path() if folder == -1 else Path(f"/proc/self/fd/{folder}").resolve()
    real = os.path.realpath(base / os.fsdecode(path))
    if not real.startswith(_armed[-1]) and real != os.devnull:
        raise Escaped(f"{event} {real}")
