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

    ``runs/DIGEST`` holds the run of one experiment, whichever studies it is a cell of; ``states``
    what federations share; ``STUDY-SCALE`` what a study ends with.
    """

    root: Path

    @property
    def states(self) -> Path:
        """Where federations keep what other runs may go on from."""
        return self.root / "states"

    def run(self, cell: Cell) -> Path:
        """Return the run directory of a cell; of a finished one, also under an earlier name."""
        own = self.root / "runs" / cell.digest
        return own if own.exists() else self._earlier_names.get(cell.digest, own)

    @cached_property
    def _earlier_names(self) -> Mapping[str, Path]:
        """Finished runs whose names are not today's, by today's.

        A run is named after its resolved experiment, and an earlier fedsim that knew fewer settings
        resolved it to another text. Read as today it is the same experiment, but for what `auto`
        became when it ran.
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
        """Return how long the run of a cell took, or None where it is not known."""
        return read_took(RunDirectory(self.run(cell)))

    def finished(self, cell: Cell) -> Results | None:
        """Return the results of a cell that was run to its end, or None.

        A run writes its results last, and only the run of the same experiment has that digest.
        """
        path = self.run(cell) / "results.json"
        return read_results(path) if path.is_file() else None


def _as_asked_for(experiment: Experiment) -> Iterator[Experiment]:
    """Yield a resolved experiment, and it with what `auto` is resolved to."""
    yield experiment
    automatic = dict.fromkeys(("stacked", "small_convolutions", "channels_last"), "auto")
    engine = experiment.engine.model_copy(update=automatic)
    yield experiment.model_copy(update={"engine": engine})
