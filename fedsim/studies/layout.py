"""Where studies live: runs and federations shared by all of them, outputs of each."""

from dataclasses import dataclass
from pathlib import Path

from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory
from fedsim.studies.cells import Cell
from fedsim.studies.timing import RunTiming, read_took


@dataclass(frozen=True)
class StudyPaths:
    """The folder that studies are run in.

    ``runs/DIGEST`` holds the run of one experiment, whichever studies it is a cell of; ``states``
    what federations share; ``STUDY-SCALE`` what a study ends with.
    """

    root: Path

    @property
    def states(self) -> Path:
        """Where federations keep what other runs may go on from."""
        return self.root / "states"

    def run(self, cell: Cell) -> Path:
        """Return the run directory of a cell."""
        return self.root / "runs" / cell.digest

    def output(self, study: str, scale: str) -> Path:
        """Return the folder of a study's outputs."""
        return self.root / f"{study}-{scale}"

    def took(self, cell: Cell) -> RunTiming | None:
        """Return how long the run of a cell took, or None where it is not known."""
        return read_took(RunDirectory(self.run(cell)))

    def finished(self, cell: Cell) -> Results | None:
        """Return the results of a cell that was run to its end, or None.

        A run writes its results last, and only the run of the same experiment has that digest.
        """
        path = self.run(cell) / "results.json"
        return read_results(path) if path.is_file() else None
