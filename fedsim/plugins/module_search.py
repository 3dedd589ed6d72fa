"""The folders in which a user's own modules are searched, after the installed packages.

A plugin that is named ``module:attribute`` is in a file of the user's. The command line searches
the current folder; `fedsim run` also searches the experiment's folder. A run directory is never
searched, so that opening another person's run does not execute that person's code.
"""

import sys
from pathlib import Path

_FOLDERS: list[str] = []


def look_in(folder: Path) -> None:
    """Also search a folder for modules, after all other folders."""
    place = str(folder.resolve())
    if place not in _FOLDERS:
        _FOLDERS.append(place)
    if place not in sys.path:
        sys.path.append(place)


def look_beside(experiment: Path) -> None:
    """Also search the folder of an experiment's file, unless the file is a run's own copy."""
    if not (experiment.parent / "provenance.json").is_file():
        look_in(experiment.parent)


def searched() -> str:
    """Return the places in which modules are searched, as part of a sentence."""
    return " and ".join(["the installed packages", *_FOLDERS])
