"""Writing files so that a reader never meets half of one.

What an audit keeps is private (snapshots, scores, who was a member), so everything written here is
readable by its owner only.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_FOLDER = 0o700
UNFINISHED = ".part"  # how the names of files end that are being written


def make_private_folder(path: Path) -> Path:
    """Create `path` and its missing parents, readable by the owner only, and return it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):  # mkdir(parents=True) would give the mode to the last only
        folder.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it becomes `path`.

    The content is on the disk before the name changes, so after a crash or a power cut `path` holds
    either the old content or the new, never a part. When the block fails nothing is left behind.

    Raises
    ------
    OSError
        If the disk does not take it; its ``filename`` is `path`.
    """
    make_private_folder(path.parent)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    os.close(descriptor)  # mkstemp has made it with owner-only permissions
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(OWNER_ONLY_FILE)
        temporary.replace(path)
    except OSError as error:
        # Writing names no file, and the temporary one is nobody's business.
        if error.errno is not None and error.filename in (None, name):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def share(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds, all or nothing, without a second copy if possible.

    Files written here are replaced and never changed in place, so two names may share one content.
    """
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, all or nothing."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` to `path` as readable JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
