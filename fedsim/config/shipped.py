"""The experiments and studies that ship with fedsim, by name: ``quickstart``, ``studies/...``.

They are the files of the repository's ``configs``. A wheel has a copy of them in the package,
made when it is built (``setup.py``), so that there is one original.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fedsim.files import usable_path

SUFFIX = ".yaml"
INTERNAL = "studies/targets"
"""Experiments that studies refer to; they are not listed."""

TITLE = "title: "


@cache
def folder() -> Path | None:
    """Return where the files are: in the installed package, or in the repository."""
    package = Path(__file__).parents[1]
    for place in (package / "configs", package.parent / "configs"):
        if (place / f"quickstart{SUFFIX}").is_file():
            return place
    return None


def shipped() -> Mapping[str, Path]:
    """Return all of them by name."""
    place = folder()
    if place is None:
        return {}
    names = {
        path.relative_to(place).with_suffix("").as_posix(): path
        for path in sorted(place.rglob(f"*{SUFFIX}"))
    }
    return {name: path for name, path in names.items() if not name.startswith(INTERNAL)}


def config_path(path: Path) -> Path:
    """Return the file that a user means: the one at `path`, or the shipped one of that name.

    Raises
    ------
    ConfigError
        If no file can have that name.
    """
    usable_path(path, "the file of an experiment or study")
    return path if path.exists() else shipped().get(path.as_posix(), path)


def hint(path: Path) -> str:
    """Return what else may be meant by a file that is not there, as the end of a sentence."""
    name = path.with_suffix("").as_posix().removeprefix("configs/")
    return f"; the one that ships with fedsim goes by its name, {name}" if name in shipped() else ""


def description(path: Path) -> str:
    """Return what a file is, in one sentence: a study's title, or how its comment begins."""
    comment: list[str] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(TITLE):
                return f"{line.removeprefix(TITLE).strip()}."
            if not line.startswith("#"):
                break
            comment.append(line[1:].strip())
    first, *_ = " ".join(comment).split(". ")
    return f"{first.rstrip('.')}."
