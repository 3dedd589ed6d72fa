"""Where studies live: runs and federations shared by all of them, outputs of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.errors import FedsimError
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory
from fedsim.studies.cells import Cell, digest_of
from fedsim.studies.timing import RunTiming, read_took


@dataclass(frozen=True)
class StudyPaths:
    """The folder that studies are run in.

    ``runs/DIGEST`` holds the run of one experiment, shared by all studies with that cell;
    ``states`` the cached states of federations; ``STUDY-SCALE`` the outputs of a study.
    """

    root: Path

    @property
    def states(self) -> Path:
        """The folder of states that other runs may start from."""
        return self.root / "states"

    def run(self, cell: Cell) -> Path:
        """Return the run directory of a cell; a finished run may have an earlier name."""
        own = self.root / "runs" / cell.digest
        return own if own.exists() else self._earlier_names.get(cell.digest, own)

    @cached_property
    def _earlier_names(self) -> Mapping[str, Path]:
        """Finished runs with names by earlier versions, by their present names.

        A run is named after its resolved experiment, which an earlier version with fewer settings
        wrote differently. Read today it is the same experiment, except for resolved `auto`
        settings.
        """
        found: dict[str, Path] = {}
        for results in sorted((self.root / "runs").glob("*/results.json")):
            try:
                experiment = read_experiment(RunDirectory(results.parent).experiment)
            except FedsimError:  # its plugins are gone, or its settings mean nothing any more
                continue
            names = [digest_of(one) for one in _as_asked_for(experiment)]
            if results.parent.name not in names:
                found |= dict.fromkeys(names, results.parent)
        return found

    def output(self, study: str, scale: str) -> Path:
        """Return the folder of a study's outputs."""
        return self.root / f"{study}-{scale}"

    def took(self, cell: Cell) -> RunTiming | None:
        """Return the duration of a cell's run; None if unknown."""
        return read_took(RunDirectory(self.run(cell)))

    def finished(self, cell: Cell) -> Results | None:
        """Return the results of a cell that was run to its end, or None.

        A run writes its results last, and only the run of the same experiment has that digest.
        """
        path = self.run(cell) / "results.json"
        return read_results(path) if path.is_file() else None


def _as_asked_for(experiment: Experiment) -> Iterator[Experiment]:
    """Yield a resolved experiment, as asked for and with `auto` settings resolved."""
    yield experiment
    resolved = ("device", "stacked", "small_convolutions", "channels_last")
    automatic = dict.fromkeys(resolved, "auto")
    engine = experiment.engine.model_copy(update=automatic)
    yield experiment.model_copy(update={"engine": engine})
