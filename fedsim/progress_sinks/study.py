"""The progress of a study for any watcher: its cells are the steps of one piece of work."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from fedsim.progress import Advance, Watcher
from fedsim.report.formatting import area
from fedsim.report.results import Results
from fedsim.studies.cells import Cell


@dataclass(frozen=True)
class Cells:
    """A study's audience that passes everything on to a watcher; see `watching_cells`."""

    watcher: Watcher
    advance: Advance

    def begins(self, cell: Cell) -> None:
        """Say which cell is being computed."""
        self.watcher.say(f"cell {cell.name} begins, run {cell.digest}")

    def ended(self, cell: Cell, results: Results, *, reused: bool) -> None:
        """Count the cell, with its strongest attack."""
        best = max(results.summary(), key=lambda row: row.auc.value)
        before = "finished before, " if reused else ""
        self.advance(f"{cell.name}: {before}{best.attack} AUC {area(best.auc.value)}")

    def say(self, text: str) -> None:
        """Pass the line on."""
        self.watcher.say(text)

    def task(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Pass the work inside a cell on."""
        return self.watcher.task(what, total, done)


@contextmanager
def watching_cells(watcher: Watcher, cells: Sequence[Cell]) -> Iterator[Cells]:
    """Yield an audience for a study of these cells that reports to `watcher`."""
    with watcher.task("cells", len(cells)) as advance:
        yield Cells(watcher, advance)
