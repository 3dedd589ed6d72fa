"""The findings of a study, and its plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.report.results import Results
from fedsim.studies.cells import Cell
from fedsim.studies.definition import Scale, Study
from fedsim.studies.evidence import Finder
from fedsim.studies.frontier import Frontier
from fedsim.studies.pairs import Pair
from fedsim.studies.rows import Row
from fedsim.studies.tables import Table
from fedsim.studies.timing import RunTiming


@dataclass(frozen=True)
class Findings:
    """What a study has found.

    Attributes
    ----------
    study, path, scale, cells
        What was run.
    rows, tables, pairs
        The figures.
    evidence
        Finds the scores behind a row.
    reused
        The cells that were finished before.
    took
        The duration of runs by their digests, where known.
    frontier
        Leakage against utility, where the study asks for it.
    """

    study: Study
    path: Path
    scale: Scale
    cells: Sequence[Cell]
    rows: Sequence[Row]
    tables: Sequence[Table]
    pairs: Sequence[Pair]
    evidence: Finder
    reused: Sequence[Cell]
    took: Mapping[str, RunTiming]
    frontier: Frontier | None = None

    @property
    def self_check(self) -> tuple[str, ...]:
        """Sentences on attacks that refute a guarantee, with the cell; empty where all agree."""
        cells = {row.cell.digest: row for row in self.rows}.values()
        return tuple(f"{one.cell.name}: {said}" for one in cells for said in one.results.self_check)


@dataclass(frozen=True)
class PlannedCell:
    """A cell before it runs.

    Attributes
    ----------
    cell
        The cell.
    results
        The results of its run, if it is finished.
    shares_with
        The earlier cell that shares its federation.
    active
        The number of adversaries with a federation of their own.
    """

    cell: Cell
    results: Results | None
    shares_with: Cell | None
    active: int

    @property
    def finished(self) -> bool:
        """Return whether there is nothing to run."""
        return self.results is not None
