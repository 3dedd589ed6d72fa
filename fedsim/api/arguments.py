"""Conversion of arguments of the API: paths as text, runs by folder, plugins as objects."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedsim.api.plain_data import as_plain_data
from fedsim.api.result_objects import FinishedRun
from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.errors import ConfigError
from fedsim.files import usable_path
from fedsim.plugins.module_search import look_beside
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import recorded_data_dir, recorded_folder
from fedsim.rundir.same_experiment import with_engine_of_run
from fedsim.stages.external_model import ExternalModel
from fedsim.stages.preparation.experiment_faults import load_experiment, parse_experiment

RUNS = Path("runs")
"""The folder of run directories, where the caller names none."""
RUN_DIRECTORY = "the run directory"

PathLike = str | Path
RunLike = PathLike | FinishedRun
AttackLike = str | Mapping[str, object] | Callable[..., Any]
ExperimentLike = PathLike | Mapping[str, object] | Experiment


def as_path(path: PathLike | None, what: str = "the data directory") -> Path | None:
    """Return a path, or None.

    Raises
    ------
    ConfigError
        If it cannot be a path; `what` is the subject of the error message.
    """
    return None if path is None else usable_path(path, what)


def run_folder(run: RunLike) -> Path:
    """Return the directory of a run.

    Raises
    ------
    ConfigError
        If no folder can have that path.
    """
    return run.path if isinstance(run, FinishedRun) else usable_path(run, RUN_DIRECTORY)


def as_experiment(
    given: ExperimentLike, settings: tuple[str, ...], data_dir: Path | None = None
) -> Experiment:
    """Return an experiment from a file, a mapping, or one that was read before.

    Raises
    ------
    FedsimError
        If it is not valid, or `settings` are given for one that is not a file.
    """
    if isinstance(given, str | Path):
        look_beside(usable_path(given, "the file of an experiment"))
        return load_experiment(Path(given), settings, with_files=True, data_dir=data_dir)
    if settings:
        raise ConfigError(
            "settings change an experiment that is a file; change the mapping itself, or read the "
            "file with load_experiment(path, settings)"
        )
    if isinstance(given, Experiment):
        return given
    tree = as_plain_data(given)
    return parse_experiment(tree, "the experiment", with_files=True, data_dir=data_dir)


def as_attacks(
    given: object,
) -> tuple[str | Mapping[str, object], ...]:
    """Return attacks, one or several, each a name or a mapping with a name and settings.

    Raises
    ------
    ConfigError
        If one is a callable that has no name.
    """
    several = tuple(given) if isinstance(given, list | tuple) else (given,)
    return tuple(as_plain_data(one, "attacks") for one in several)


def as_external_model(given: ExternalModel) -> ExternalModel:
    """Return an external model with names in the place of functions and classes.

    Raises
    ------
    ConfigError
        If a callable has no name.
    """
    return replace(
        given,
        model=as_plain_data(given.model, "model"),
        data=as_plain_data(given.data, "data"),
        adversary=as_plain_data(given.adversary, "adversary"),
        attacks=as_attacks(given.attacks),
    )


def new_run_folder(experiment: object, out: PathLike | None) -> Path:
    """Return the run directory that an experiment is run in.

    Raises
    ------
    ConfigError
        If neither argument is a path to name it after, or the path is not valid.
    """
    if out is not None:
        return usable_path(out, RUN_DIRECTORY)
    if isinstance(experiment, str | Path):
        return RUNS / Path(experiment).stem
    raise ConfigError("an experiment that is not a file needs a run directory: give `out`")


def data_folder_of(directory: RunDirectory, data_dir: PathLike | None) -> Path | None:
    """Return the folder of the data set's files: the one given, else the one that the run used."""
    return as_path(data_dir) or recorded_data_dir(directory.provenance)


def experiment_of(directory: RunDirectory) -> Experiment:
    """Return a run's experiment, with paths relative to its original folder."""
    experiment = read_experiment(directory.experiment).beside(recorded_folder(directory.provenance))
    return with_engine_of_run(experiment, directory.experiment)
