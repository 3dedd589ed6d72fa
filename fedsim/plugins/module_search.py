"""Where a user's own modules are looked for, beside the installed packages.

A plugin that is named ``module:attribute`` is a file of the user's. The command line looks for it
in the current folder; `fedsim run` looks beside the experiment, too. Nothing is ever looked for in
a run directory: opening another person's run does not run that person's code.
"""

import sys
from pathlib import Path

_FOLDERS: list[str] = []


def look_in(folder: Path) -> None:
    """Look for modules in a folder, too, after everything that is looked through already."""
    place = str(folder.resolve())
    if place not in _FOLDERS:
        _FOLDERS.append(place)
    if place not in sys.path:
        sys.path.append(place)


def look_beside(experiment: Path) -> None:
    """Look for modules beside an experiment's file, unless that is a run's own copy of it."""
    if not (experiment.parent / "provenance.json").is_file():
        look_in(experiment.parent)


def searched() -> str:
    """Return where modules are looked for, as part of a sentence."""
    return " and ".join(["the installed packages", *_FOLDERS])
