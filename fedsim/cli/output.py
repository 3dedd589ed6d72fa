"""How a command reports: tables and progress bars, only the path of the figures, or JSON lines.

`choose_output` chooses by the options ``--quiet`` and ``--json`` (see `json_output`).
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import typer
from rich.console import Console

from fedsim.api.result_objects import GatedRun
from fedsim.cli import console as terminal
from fedsim.cli.json_output import JsonOutput
from fedsim.errors import FedsimError, plural
from fedsim.progress import SILENCE, Watcher
from fedsim.progress_sinks import JsonLines, watching_cells
from fedsim.report.comparison_rows import ComparedRow
from fedsim.report.comparison_table import ComparedTable
from fedsim.report.defence_effects import defence_effect_lines
from fedsim.report.results import Results
from fedsim.report.table import RunTable
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.plan import Plan, StatedThreat
from fedsim.studies.cells import Cell
from fedsim.studies.findings import Findings, PlannedCell
from fedsim.studies.live import LiveStudy, show_findings, show_plan
from fedsim.studies.running import Audience


class OutputMode(Protocol):
    """Shows what a command is going to do, its progress, and its results."""

    @property
    def watcher(self) -> Watcher:
        """Receives the progress of the work."""

    def show_plan(self, threats: Sequence[StatedThreat], plan: Plan) -> None:
        """Show the threat models and the size of a run."""

    def show_results(self, results: Results, out: Path) -> None:
        """Show the results of a run, and where they are."""

    def show_comparison(self, rows: Sequence[ComparedRow], page: Path | None) -> None:
        """Show a comparison, and where its page is, if one was written."""

    def show_gate(self, gated: GatedRun) -> None:
        """Show whether a run is within its limits."""

    def show_cells(self, cells: Sequence[PlannedCell]) -> None:
        """Show the cells that a study would run."""

    def follow_cells(self, cells: Sequence[Cell]) -> AbstractContextManager[Audience]:
        """Return what receives the progress of the cells of a study."""

    def show_study(self, findings: Findings, output: Path, page: Path) -> None:
        """Show the results of a study, and where they are."""


def choose_output(*, quiet: bool, as_json: bool) -> OutputMode:
    """Return the output that the options ask for.

    Raises
    ------
    FedsimError
        If both are asked for.
    """
    if quiet and as_json:
        raise FedsimError("--quiet and --json are two ways to print; give one of them")
    if as_json:
        return JsonOutput(JsonLines(sys.stdout))
    return QuietOutput() if quiet else TerminalOutput(Console(markup=False, emoji=False))


class TerminalOutput:
    """For a person: threat models, bars with the time left, tables."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.watcher: Watcher = terminal.ConsoleWatcher(console)

    def show_plan(self, threats: Sequence[StatedThreat], plan: Plan) -> None:
        """Print the threat models and the sizes."""
        terminal.show_threats(self._console, threats)
        terminal.show_plan(self._console, plan)

    def show_results(self, results: Results, out: Path) -> None:
        """Print the tables, and where everything is."""
        run = RunDirectory(out)
        self._console.print()
        self._console.print(RunTable(results))
        self._console.print(f"figures: {run.results}   page: {run.report}", highlight=False)

    def show_comparison(self, rows: Sequence[ComparedRow], page: Path | None) -> None:
        """Print the table, and where the page is."""
        self._console.print(ComparedTable(rows))
        for line in defence_effect_lines(rows):
            self._console.print(line, highlight=False)
        if page is not None:
            self._console.print(f"page: {page}", highlight=False)

    def show_gate(self, gated: GatedRun) -> None:
        """Print a sentence for each breach, and the number of checks."""
        for sentence in gated.breaches:
            self._console.print(sentence, highlight=False, soft_wrap=True)
        checks, broken = plural(len(gated.checks), "check"), len(gated.breaches)
        outcome = f"{broken} not passed" if broken else "all passed"
        self._console.print(f"{checks}, {outcome}", highlight=False)

    def show_cells(self, cells: Sequence[PlannedCell]) -> None:
        """Print a table of the cells."""
        show_plan(self._console, cells)

    def follow_cells(self, cells: Sequence[Cell]) -> LiveStudy:
        """Return a table of the cells that is updated while they run."""
        return LiveStudy(self._console, cells)

    def show_study(self, findings: Findings, output: Path, page: Path) -> None:
        """Print the tables, and where everything is."""
        show_findings(self._console, findings)
        self._console.print(f"page: {page}   figures: {output}/table.json", highlight=False)


class QuietOutput:
    """Prints the path of the figures, and nothing else."""

    watcher: Watcher = SILENCE

    def show_plan(self, threats: Sequence[StatedThreat], plan: Plan) -> None:
        """Print nothing."""

    def show_results(self, results: Results, out: Path) -> None:
        """Print the path of the figures, alone on its line."""
        typer.echo(RunDirectory(out).results)

    def show_comparison(self, rows: Sequence[ComparedRow], page: Path | None) -> None:
        """Print the path of the page, alone on its line, if one was written."""
        if page is not None:
            typer.echo(page)

    def show_gate(self, gated: GatedRun) -> None:
        """Print a sentence for each breach."""
        for sentence in gated.breaches:
            typer.echo(sentence)

    def show_cells(self, cells: Sequence[PlannedCell]) -> None:
        """Print nothing: the exit code says that the study is valid."""

    def follow_cells(self, cells: Sequence[Cell]) -> AbstractContextManager[Audience]:
        """Return an audience that prints nothing."""
        return watching_cells(self.watcher, cells)

    def show_study(self, findings: Findings, output: Path, page: Path) -> None:
        """Print the path of the figures, alone on its line."""
        typer.echo(output / "table.json")
