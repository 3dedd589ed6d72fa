"""One process at a time works in a run directory, and says which it is."""

import fcntl
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from fedsim.errors import RunDirectoryError
from fedsim.files import OWNER_ONLY_FILE


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep others out of a run directory within the context.

    The lock is the kernel's, so it ends with the process that holds it, however that ends.

    Raises
    ------
    RunDirectoryError
        If another process works in it, and the sentence says which; or if there is a
        symbolic link in it.
    """
    if link := next(iter(sorted(path for path in folder.rglob("*") if path.is_symlink())), None):
        raise RunDirectoryError(
            f"{link} is a symbolic link, and nothing is written to where a run directory "
            "leads out of itself; put there what it points to"
        )
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW
    descriptor = os.open(folder / ".lock", flags, OWNER_ONLY_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace")
            raise RunDirectoryError(
                f"{holder or 'another process'} is working in {folder}; wait for it, or "
                "choose another --out"
            ) from error
        _say_who_works_here(descriptor)
        yield
    finally:
        os.close(descriptor)


def _say_who_works_here(lock: int) -> None:
    """Write into a lock file who holds it, as the subject of a sentence."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = f"process {os.getpid()} on {socket.gethostname()} ({command:.200}, since {since})"
    with suppress(OSError):  # a full disk is no reason not to work here
        os.ftruncate(lock, 0)
        os.pwrite(lock, " ".join(holder.split()).encode(), 0)
