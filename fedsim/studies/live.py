"""The terminal's display of a study: its cells, their progress, and the results."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from fedsim.errors import plural
from fedsim.progress import Advance
from fedsim.report.comparison_rows import auc_in_words
from fedsim.report.formatting import area, percent
from fedsim.report.results import Results
from fedsim.report.wide_tables import TableColumn, WideTable
from fedsim.studies.cells import Cell
from fedsim.studies.findings import Findings, PlannedCell
from fedsim.studies.frontier import Frontier
from fedsim.studies.frontier_page import frontier_cells, frontier_headings, frontier_notes
from fedsim.studies.provenance import other_makers_sentence, this_maker
from fedsim.studies.tables import TableEntry
from fedsim.studies.timing import clock_text

WAITING, RUNNING, STOPPED = "waits", "runs", "stopped"
DONE, REUSED = "done", "finished before"


class LiveStudy:
    """A live table of cells: an `Audience`, and the context in which cells run."""

    def __init__(self, console: Console, cells: Sequence[Cell]) -> None:
        self._console = console
        self._standing = {cell.digest: (WAITING, "") for cell in cells}
        self._cells = cells
        self._tasks: dict[int, str] = {}
        self._numbers = count()
        self._current: Cell | None = None
        self._since = 0.0
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "LiveStudy":
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Draw the final state."""
        self._live.stop()
        if self._current is not None:
            self._standing[self._current.digest] = (STOPPED, "")
            self._current = None
        self._console.print(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the current table."""
        table = WideTable([TableColumn(one) for one in ("cell", "", "strongest attack")])
        for cell in self._cells:
            state, said = self._standing[cell.digest]
            if cell is self._current:
                said = " · ".join(self._tasks.values())
                state = f"{RUNNING} {clock_text(time.monotonic() - self._since)}"
            table.add(cell.name, Text(state, "dim"), said)
        yield from table.fitted(options.max_width)

    def begins(self, cell: Cell) -> None:
        """Take note that a cell is being computed."""
        self._current, self._since = cell, time.monotonic()
        self._live.refresh()

    def ended(self, cell: Cell, results: Results, *, reused: bool) -> None:
        """Show the strongest attack of a cell."""
        best = max(results.summary(), key=lambda row: row.auc.value)
        said = f"{area(best.auc.value)}  accuracy {percent(best.accuracy.value)}  {best.attack}"
        took = "" if reused else f" in {clock_text(time.monotonic() - self._since)}"
        self._standing[cell.digest] = (REUSED if reused else f"{DONE}{took}", said)
        self._current = None
        self._live.refresh()

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, highlight=False, markup=False, emoji=False)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show a task of the running cell; several processes may each have tasks."""
        number, steps = next(self._numbers), done
        self._tasks[number] = f"{what} {steps}/{total}"

        def advance(standing: str) -> None:
            nonlocal steps
            steps += 1
            self._tasks[number] = f"{what} {steps}/{total} {standing}".rstrip()

        try:
            yield advance
        finally:
            del self._tasks[number]


def show_plan(console: Console, planned: Sequence[PlannedCell]) -> None:
    """Print the plan, cell by cell, with shared federations."""
    headings = ("cell", "run", "", "honest federation", "active ones")
    table = WideTable([TableColumn(one) for one in headings])
    for one in planned:
        shared = one.shares_with
        federation = f"that of {shared.name}" if shared else f"{one.cell.federation}, its own"
        state = REUSED if one.finished else WAITING
        table.add(one.cell.name, one.cell.digest, state, federation, str(one.active))
    own = sum(one.shares_with is None for one in planned)
    for part in table.fitted(console.width):
        console.print(part)
    console.print(
        f"{plural(len(planned), 'cell')}, {plural(own, 'honest federation')}, "
        f"{plural(sum(one.finished for one in planned), 'cell')} finished before",
        highlight=False,
    )
    finished = [(one.cell, one.results) for one in planned if one.results]
    if finished and (line := other_makers_sentence(finished, this_maker())):
        console.print(line, highlight=False, markup=False)


def show_findings(console: Console, findings: Findings) -> None:
    """Print the tables of a study, reference figures with their evidence below ours."""
    if findings.frontier is not None:
        _show_frontier(console, findings.frontier)
    for table in findings.tables:
        names = [TableColumn(name) for name in table.row_names]
        columns = [TableColumn(name) for name in table.columns]
        shown = WideTable([*names, *columns], first=len(names))
        for key, entries in table.lines:
            shown.add(*key, *map(_entry, entries))
        if table.title:
            console.print(Text(table.title, "bold"))
        for part in shown.fitted(console.width):
            console.print(part)
            console.print()
    for pair in findings.pairs:
        auc, p = auc_in_words(pair.difference)
        where = ", ".join(pair.where.values())
        console.print(
            Text(f"{pair.first} against {pair.second} ({where}): AUC {auc}, p {p}"), highlight=False
        )


def _show_frontier(console: Console, found: Frontier) -> None:
    headings = [TableColumn(one) for one in frontier_headings(found)]
    for adversary, points in found.points.items():
        console.print(Text(f"against {adversary}", "bold"))
        shown = WideTable(headings, first=3)
        for point in points:
            shown.add(*frontier_cells(found, point, bold=""))
        for part in shown.fitted(console.width):
            console.print(part)
            console.print()
    for sentence in frontier_notes(found):
        console.print(sentence, highlight=False, markup=False)


def _entry(entry: TableEntry | None) -> Text:
    if entry is None or entry.figure is None:
        return Text("-")
    value, interval = entry.figure.shown()
    text = Text.assemble((value, "bold"), "\n" if interval else "", (interval, "dim"))
    if entry.reference is not None:
        text.append(f"\n{entry.reference.shown}", "dim italic")
    return text
