"""What the functions of the API are given: paths as text, runs by folder or as objects."""

from collections.abc import Mapping
from pathlib import Path

from fedsim.config.experiment import Experiment, load_experiment, parse_experiment
from fedsim.errors import ConfigError
from fedsim.module_search import look_beside
from fedsim.result_objects import FinishedRun

RUNS = Path("runs")
"""The folder of run directories, where the caller names none."""

PathLike = str | Path
RunLike = PathLike | FinishedRun
ExperimentLike = PathLike | Mapping[str, object] | Experiment


def as_path(path: PathLike | None) -> Path | None:
    """Return a path, or None."""
    return None if path is None else Path(path)


def run_folder(run: RunLike) -> Path:
    """Return the directory of a run."""
    return run.path if isinstance(run, FinishedRun) else Path(run)


def as_experiment(given: ExperimentLike, settings: tuple[str, ...]) -> Experiment:
    """Return an experiment that is a file, a mapping, or was read before.

    Raises
    ------
    FedsimError
        If it is not valid, or `settings` should change one that is not a file.
    """
    if isinstance(given, str | Path):
        look_beside(Path(given))
        return load_experiment(Path(given), settings)
    if settings:
        raise ConfigError(
            "settings change an experiment that is a file; change the mapping itself, or read the "
            "file with load_experiment(path, settings)"
        )
    return given if isinstance(given, Experiment) else parse_experiment(given, "the experiment")


def new_run_folder(experiment: object, out: PathLike | None) -> Path:
    """Return the run directory that an experiment is run in.

    Raises
    ------
    ConfigError
        If neither is a path: then nothing names it.
    """
    if out is not None:
        return Path(out)
    if isinstance(experiment, str | Path):
        return RUNS / Path(experiment).stem
    raise ConfigError("an experiment that is not a file needs a run directory: give `out`")
