"""The output of a command with ``--json``: one JSON object a line.

The lines are the events of `fedsim.progress_sinks.json_lines`, and

``planned``
    Of a run: ``plan``, its sizes, and ``threat_models``. Of ``fedsim study --plan``: ``cells``,
    each with ``coordinates``, ``run``, ``finished``, and the run that it ``shares_with`` or null.
``results``, the last line
    ``path``, ``page``, and ``results``, a list of rows as in ``results.json``: the mean row of
    each adversary and attack. Of a run, ``metrics``, ``utility``, ``guarantees`` and ``self_check``
    (sentences on attacks that refute one) too; of a study, each row has
    its ``coordinates`` and ``run``, and beside them are ``frontier``, the points of one, and
    ``self_check``. Of a comparison there is no ``path``, ``page`` may be null, and
    the rows are the tidy ones of ``--format json``.
``gated``
    Of a gate: ``path``, ``passed``, and ``checks``, each with ``figure``, ``bound`` (``max`` or
    ``min``), ``limit``, ``subject``, ``judged``, ``passed`` and ``breach``.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from fedsim.api.result_objects import GatedRun
from fedsim.progress import Watcher
from fedsim.progress_sinks import JsonLines, watching_cells
from fedsim.report.comparison_rows import ComparedRow
from fedsim.report.formats import tidy
from fedsim.report.gate import gate_entries
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.plan import Plan, StatedThreat
from fedsim.studies.cells import Cell
from fedsim.studies.findings import Findings, PlannedCell
from fedsim.studies.frontier_page import frontier_json
from fedsim.studies.running import Audience


class JsonOutput:
    """For a program: one JSON object a line, as the module describes."""

    def __init__(self, lines: JsonLines) -> None:
        self._lines = lines
        self.watcher: Watcher = lines

    def show_plan(self, threats: Sequence[StatedThreat], plan: Plan) -> None:
        """Write ``planned``."""
        models = [
            {
                "adversary": stated.adversary,
                "knows": stated.knows,
                "learns_from": dict(stated.learns_from),
                "asks": list(stated.asks),
            }
            | asdict(stated.threat)
            for stated in threats
        ]
        self._lines.emit("planned", plan=asdict(plan), threat_models=models)

    def show_results(self, results: Results, out: Path) -> None:
        """Write ``results``."""
        run = RunDirectory(out)
        self._lines.emit(
            "results",
            path=str(run.results),
            page=str(run.report),
            metrics={n: info.model_dump() for n, info in results.metrics.items()},
            utility_figure=results.utility_figure.model_dump(),
            utility=results.utility,
            results=[row.model_dump(mode="json") for row in results.summary()],
            unseen=[one.model_dump(mode="json") for one in results.unseen],
            guarantees=[one.model_dump(mode="json") for one in results.guarantees],
            self_check=list(results.self_check),
        )

    def show_comparison(self, rows: Sequence[ComparedRow], page: Path | None) -> None:
        """Write ``results``."""
        self._lines.emit("results", page=None if page is None else str(page), results=tidy(rows))

    def show_gate(self, gated: GatedRun) -> None:
        """Write ``gated``."""
        checks = gate_entries(gated.checks)
        self._lines.emit("gated", path=str(gated.path), passed=gated.passed, checks=checks)

    def show_cells(self, cells: Sequence[PlannedCell]) -> None:
        """Write ``planned``."""
        entries = [
            {
                "coordinates": dict(one.cell.coordinates),
                "run": one.cell.digest,
                "finished": one.finished,
                "shares_with": one.shares_with.digest if one.shares_with else None,
            }
            for one in cells
        ]
        self._lines.emit("planned", cells=entries)

    def follow_cells(self, cells: Sequence[Cell]) -> AbstractContextManager[Audience]:
        """Return an audience that writes the cells as the steps of one task."""
        return watching_cells(self._lines, cells)

    def show_study(self, findings: Findings, output: Path, page: Path) -> None:
        """Write ``results``."""
        rows = [
            {"coordinates": dict(row.coordinates), "run": row.cell.digest}
            | row.result.model_dump(mode="json")
            for row in findings.rows
        ]
        table = output / "table.json"
        self._lines.emit(
            "results",
            path=str(table),
            page=str(page),
            results=rows,
            frontier=frontier_json(findings.frontier) if findings.frontier else [],
            self_check=list(findings.self_check),
        )
