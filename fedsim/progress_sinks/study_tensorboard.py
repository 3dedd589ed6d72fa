"""A study for TensorBoard: a folder of scalars for each cell, written while its runs go on."""

import re
from contextlib import AbstractContextManager
from pathlib import Path

from fedsim.progress import Advance
from fedsim.progress_sinks.fan_out import FanOut
from fedsim.progress_sinks.tensorboard import Scalars, writers
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.studies.cells import Cell
from fedsim.studies.layout import StudyPaths
from fedsim.studies.running import Audience

_DIGITS = 6
"""Of a cell's digest, so that no two cells share a folder."""


class CellScalars:
    """An audience of a study that forwards to another one, and writes the cells' figures.

    Parameters
    ----------
    audience
        The receiver of the progress.
    layout
        Where the cells are run.
    folder
        Each cell has a folder in it, by its coordinates.

    Raises
    ------
    FedsimError
        If TensorBoard is not installed.
    """

    def __init__(self, audience: Audience, layout: StudyPaths, folder: Path) -> None:
        self._audience, self._layout, self._folder = audience, layout, folder
        self._new_writer = writers()
        self._current: Scalars | None = None

    def begins(self, cell: Cell) -> None:
        """Open the cell's folder."""
        self._audience.begins(cell)
        self._current = self._opened(cell)

    def ended(self, cell: Cell, results: Results, *, reused: bool) -> None:
        """Write the remaining figures of the cell; all of them if it was finished before."""
        self._audience.ended(cell, results, reused=reused)
        (self._current or self._opened(cell)).end(results)
        self._current = None

    def say(self, text: str) -> None:
        """Pass the line on."""
        self._audience.say(text)

    def task(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Pass the work on, and look for new figures at its steps."""
        if self._current is None:
            return self._audience.task(what, total, done)
        return FanOut(self._audience, self._current).task(what, total, done)

    def _opened(self, cell: Cell) -> Scalars:
        named = re.sub(r"[^\w.=-]+", "-", cell.name).strip("-")
        writer = self._new_writer(self._folder / f"{named}-{cell.digest[:_DIGITS]}")
        return Scalars(writer, RunDirectory(self._layout.run(cell)))
