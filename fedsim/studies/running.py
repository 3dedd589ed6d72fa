"""Running a study: each cell once, whichever study it belongs to.

A cell's run directory is addressed by its resolved experiment. A finished run is only read; a
stopped run is resumed. Federations are shared, too: all cells use the same folder of states, so a
federation that was simulated for another cell, or for another study in the same folder, is not
simulated again.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Protocol

from fedsim.config.experiment import Experiment
from fedsim.data import Dataset
from fedsim.progress import SILENCE, Watcher
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import attackers_of
from fedsim.stages.preparation.refusals import require_simulated
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.studies.cells import Cell
from fedsim.studies.definition import Scale, Study
from fedsim.studies.evidence import Evidence
from fedsim.studies.findings import Findings, PlannedCell
from fedsim.studies.frontier import frontier
from fedsim.studies.layout import StudyPaths
from fedsim.studies.pairs import pairs
from fedsim.studies.provenance import other_makers_sentence, this_maker
from fedsim.studies.rows import Row, rows_of
from fedsim.studies.tables import check_coordinates, tables
from fedsim.studies.timing import timed


class Audience(Watcher, Protocol):
    """Receives the progress of a study: of each cell, and of the work inside it."""

    def begins(self, cell: Cell) -> None:
        """Called when a cell begins to run."""

    def ended(self, cell: Cell, results: Results, *, reused: bool) -> None:
        """Called with a cell's results; `reused` results existed before."""


class RunCell(Protocol):
    """Runs one experiment in a folder, as `fedsim.api.run` does; provided by the caller."""

    def __call__(
        self,
        experiment: Experiment,
        folder: Path,
        *,
        data_dir: Path | None,
        watcher: Watcher,
        states: Path,
    ) -> Results:
        """Run or resume it, and return its results."""


def plan(study: Study, cells: Sequence[Cell], layout: StudyPaths) -> list[PlannedCell]:
    """Return the plan of a study, cell by cell; nothing is loaded or computed.

    Raises
    ------
    FedsimError
        If what is to be shown is ambiguous, or a plugin cannot be built.
    """
    check_coordinates(study, cells)
    first: dict[str, Cell] = {}
    planned = []
    for cell in cells:
        earlier = first.setdefault(cell.federation, cell)
        planned.append(
            PlannedCell(
                cell,
                layout.finished(cell),
                None if earlier is cell else earlier,
                sum(attacker.acts_from() is not None for attacker in attackers_of(cell.experiment)),
            )
        )
    return planned


def run_cells(
    cells: Sequence[Cell],
    layout: StudyPaths,
    audience: Audience,
    run_cell: RunCell,
    data_dir: Path | None,
) -> list[tuple[Cell, Results, bool]]:
    """Run unfinished cells; return each cell with its results, and whether they existed before.

    Cells that another version of fedsim has finished are reported. Faults in any cell (a plugin, a
    file, too little memory) are an error before the first one runs. See `run_study`.
    """
    found = []
    _tell_others(cells, layout, audience)
    _require_runnable([cell for cell in cells if layout.finished(cell) is None], data_dir)
    for cell in cells:
        finished = layout.finished(cell)
        results = finished
        if results is None:
            audience.begins(cell)
            with timed(RunDirectory(layout.run(cell))):
                results = run_cell(
                    cell.experiment,
                    layout.run(cell),
                    data_dir=data_dir,
                    watcher=audience,
                    states=layout.states,
                )
        audience.ended(cell, results, reused=finished is not None)
        found.append((cell, results, finished is not None))
    return found


def _require_runnable(cells: Sequence[Cell], data_dir: Path | None) -> None:
    if len(cells) < 2:
        return  # a single one is looked at when it runs
    for _, alike in groupby(cells, lambda cell: (cell.experiment.data, cell.experiment.seed)):
        dataset: Dataset | None = None
        for cell in alike:
            require_simulated(cell.experiment)
            setup = build_setup(cell.experiment, data_dir, SILENCE, dataset=dataset)
            dataset = setup.dataset


def _tell_others(cells: Sequence[Cell], layout: StudyPaths, audience: Audience) -> None:
    finished = [(cell, results) for cell in cells if (results := layout.finished(cell))]
    if finished and (line := other_makers_sentence(finished, this_maker())):
        audience.say(line)


def run_study(
    study: Study,
    path: Path,
    scale: Scale,
    cells: Sequence[Cell],
    layout: StudyPaths,
    audience: Audience,
    run_cell: RunCell,
    data_dir: Path | None = None,
) -> Findings:
    """Run every unfinished cell, and return the findings of all cells.

    Parameters
    ----------
    study, path, scale, cells
        The study, its file, and its cells at a scale (see `cells.expand`).
    layout
        Where it is run; other studies may share it.
    audience
        Receives the progress.
    run_cell
        Runs the experiment of a cell.
    data_dir
        Where the data sets' files are; None downloads them.

    Raises
    ------
    FedsimError
        If a cell cannot be run, or what is to be shown is ambiguous; the latter before any runs.
    KeyboardInterrupt
        When stopped; the same call goes on where it was.
    """
    check_coordinates(study, cells)
    found = run_cells(cells, layout, audience, run_cell, data_dir) if study.runs else []
    rows = [row for cell, results, _ in found for row in rows_of(cell, results)]
    reused = [cell for cell, _, again in found if again]
    evidence: dict[str, Evidence] = {}

    def find(row: Row) -> Evidence:
        return evidence.setdefault(row.cell.digest, Evidence(layout.run(row.cell)))

    took = {cell.digest: layout.took(cell) for cell, _, _ in found}
    return Findings(
        study,
        path,
        scale,
        cells,
        rows,
        tables(study, rows),
        pairs(study, rows, find),
        find,
        reused,
        {digest: known for digest, known in took.items() if known},
        frontier(study.frontier, rows, find) if study.frontier else None,
    )
