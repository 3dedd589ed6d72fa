"""Atomic writing of files.

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

from fedsim.errors import ConfigError, shown

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_FOLDER = 0o700
UNFINISHED = ".part"  # how the names of folders end in which a file is being written
LONGEST_NAME = 255
"""Bytes in the name of a file or folder, on the file systems of Linux and macOS."""
LONGEST_PATH = 3_500
"""Bytes in a path that a user gives: Linux takes 4,096, and fedsim adds names of its own."""


def usable_path(path: str | Path, what: str = "a path") -> Path:
    """Return a path that a file can have; whether there is one is not looked at.

    Parameters
    ----------
    path
        What a user gave.
    what
        What it is of, as the subject of a sentence.

    Raises
    ------
    ConfigError
        If no file can have that name.

    Examples
    --------
    >>> usable_path("runs/first").name
    'first'
    >>> usable_path("runs/" + "x" * 300)
    Traceback (most recent call last):
    ...
    fedsim.errors.ConfigError: a path has a name of 300 bytes, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
xxxxxxxxxxxxxxxxxxxxxxxxxxx...; a file's name has at most 255
    """
    try:
        content = os.fsencode(path)
    except UnicodeEncodeError:
        content = b"\0"
    if b"\0" in content:
        raise ConfigError(f"{what} is {shown(str(path))}, which no file's name can be")
    longest = max(content.split(b"/"), key=len)
    if len(longest) > LONGEST_NAME:
        raise ConfigError(
            f"{what} has a name of {len(longest)} bytes, {shown(os.fsdecode(longest))}; a file's "
            f"name has at most {LONGEST_NAME}"
        )
    if len(content) > LONGEST_PATH:
        raise ConfigError(
            f"{what} has {len(content):,} bytes, {shown(str(path))}; a path has at most "
            f"{LONGEST_PATH:,}"
        )
    return Path(path)


def make_private_folder(path: Path) -> Path:
    """Create `path` and its missing parents, readable by the owner only, and return it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):  # mkdir(parents=True) would give the mode to the last only
        folder.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path in a temporary folder beside `path`; when the block ends well it becomes `path`.

    The content is on the disk before the name changes, so after a crash or a power cut `path` holds
    either the old content or the new, never a part. When the block fails nothing is left behind;
    when the process is killed one folder is, which `remove_unfinished` knows, with whatever the
    writing library put beside the file (safetensors begins with a name of its own).

    Raises
    ------
    OSError
        If the disk does not take it; its ``filename`` is `path`.
    """
    make_private_folder(path.parent)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The owner's only, and so is all in it.
    # Not by the whole name: with what is added, that may be longer than a name may be.
    prefix = f".{path.name[:40]}."
    folder = tempfile.mkdtemp(prefix=prefix, suffix=UNFINISHED, dir=path.parent)
    temporary = Path(folder) / path.name
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(OWNER_ONLY_FILE)
        temporary.replace(path)
    except OSError as error:
        # Writing names no file, and the temporary one must not appear in the sentence.
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        try:
            os.rmdir(folder)  # noqa: PTH106  # empty unless it failed, and a tenth of rmtree's time
        except OSError:
            shutil.rmtree(folder)
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes were writing anywhere below `folder`."""
    for left_over in [path for path in folder.rglob(f".*{UNFINISHED}") if path.is_dir()]:
        shutil.rmtree(left_over)


def share(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds, all or nothing, without a second copy if possible.

    Files written here are replaced and never changed in place, so two names may share one content.
    """
    with replacing(target) as temporary:
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
