"""The verbs of the command line as functions: run, attack, compare, study.

Each does what its namesake does, to the same files, and returns what was found as an object that a
notebook shows and that turns into a data frame (`fedsim.result_objects`)::

    audit = fedsim.run("configs/quickstart.yaml", settings=["seed=1"])
    audit.to_frame().query("metric == 'auc'")

The whole of it, cell by cell, is in ``docs/api_example.py``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from fedsim import pipeline as programme
from fedsim.config.experiment import Experiment, load_experiment, parse_experiment
from fedsim.errors import ConfigError
from fedsim.log_filters import only_warnings_of_flower
from fedsim.progress import SILENCE, Watcher
from fedsim.progress_sinks.study import watching_cells
from fedsim.result_objects import ComparedRuns, FinishedRun, FinishedStudy
from fedsim.stages.compare import compare_runs
from fedsim.stages.external_model import ExternalModel
from fedsim.stages.setup import Setup, set_setup
from fedsim.studies.cells import expand
from fedsim.studies.definition import Scale, load_study
from fedsim.studies.layout import StudyPaths
from fedsim.studies.running import run_study
from fedsim.studies.writing import write_outputs

RUNS = Path("runs")
STUDIES = RUNS / "studies"

PathLike = str | Path
RunLike = PathLike | FinishedRun


@only_warnings_of_flower()
def run(
    experiment: PathLike | Mapping[str, object] | Experiment,
    out: PathLike | None = None,
    *,
    settings: Iterable[str] = (),
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedRun:
    """Simulate, attack and report; called again, go on with what was stopped.

    Parameters
    ----------
    experiment
        A YAML file, the same as a mapping, or an experiment that was read before.
    out
        The run directory; by default ``runs/NAME`` of an experiment that is a file.
    settings
        ``a.b=c`` each: changes one setting of an experiment that is a file.
    data_dir
        Where the data set's files are; None downloads them.
    watcher
        Is told how far it is; ``fedsim.cli.console.ConsoleWatcher(rich.console.Console())`` draws
        bars.

    Raises
    ------
    FedsimError
        If anything given is not valid, or missing.
    """
    resolved = _experiment(experiment, tuple(settings))
    folder = _run_directory(experiment, out)
    results = programme.run(resolved, folder, data_dir=_path(data_dir), watcher=watcher)
    return FinishedRun(folder, results)


@only_warnings_of_flower()
def attack(
    run: RunLike,
    attacks: str | Iterable[str] = (),
    *,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedRun:
    """Attack a finished run again, by its own attacks or by others, without simulating again.

    Parameters
    ----------
    run
        A run directory, or what `run` returned.
    attacks
        The attacks to make anew, by label or plugin name, one or several; none named means all of
        the run's.
    data_dir
        Where the data set's files are; by default where they were.
    watcher
        Is told how far it is.

    Raises
    ------
    FedsimError
        If there is no such run or attack, or a file of the run is damaged.
    """
    folder, names = _folder(run), (attacks,) if isinstance(attacks, str) else attacks
    results = programme.attack(folder, data_dir=_path(data_dir), attacks=names, watcher=watcher)
    return FinishedRun(folder, results)


@only_warnings_of_flower()
def attack_given(
    given: ExternalModel,
    out: PathLike,
    *,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedRun:
    """Attack a model that was trained elsewhere; see `fedsim.ExternalModel`.

    Raises
    ------
    FedsimError
        If anything given is missing, damaged, or does not fit the rest.
    """
    folder = Path(out)
    results = programme.attack_given(given, folder, data_dir=_path(data_dir), watcher=watcher)
    return FinishedRun(folder, results)


def open_run(path: PathLike) -> FinishedRun:
    """Return a run that was finished before; only its results are read.

    Raises
    ------
    FedsimError
        If there is no such run, or it has not come to its end.
    """
    return FinishedRun.read(Path(path))


def prepare(
    experiment: PathLike | Mapping[str, object] | Experiment,
    *,
    settings: Iterable[str] = (),
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> Setup:
    """Load, draw and build what an experiment names, and simulate nothing.

    For scripts that look into a run directory: its ``experiment.yaml`` gives the data set, who
    holds which record, and the model that the parameters of a snapshot fit into.

    Parameters
    ----------
    experiment, settings, data_dir, watcher
        As in `run`.

    Raises
    ------
    FedsimError
        If anything that it names is not valid, or missing.
    """
    return set_setup(_experiment(experiment, tuple(settings)), _path(data_dir), watcher)


def compare(*runs: RunLike) -> ComparedRuns:
    """Put runs side by side, paired where their records coincide.

    Parameters
    ----------
    runs
        Run directories, or what `run` returned. One run compares its adversaries.

    Raises
    ------
    FedsimError
        If no run is given, or one is missing, unfinished or damaged.
    """
    if not runs:
        raise ConfigError("compare needs at least one run directory")
    return ComparedRuns(compare_runs([_folder(one) for one in runs]))


@only_warnings_of_flower()
def study(
    path: PathLike,
    *,
    scale: Scale = "cpu",
    out: PathLike = STUDIES,
    settings: Iterable[str] = (),
    rounds: int | None = None,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedStudy:
    """Run the cells of a study that are not finished, and write its tables and figures.

    Parameters
    ----------
    path
        The study (YAML).
    scale
        Which of its sizes.
    out
        Where studies are run; they share federations there.
    settings
        ``a.b=c`` each, changed in every cell.
    rounds
        Ends every federation after so many.
    data_dir
        Where the data sets' files are; None downloads them.
    watcher
        Is told of each cell, and of the work inside it.

    Raises
    ------
    FedsimError
        If the study is not valid, or a cell cannot be run.
    """
    changes, layout, file = tuple(settings), StudyPaths(Path(out)), Path(path)
    definition = load_study(file)
    cells = expand(definition, file, scale, changes, rounds)
    with watching_cells(watcher, cells) as audience:
        findings = run_study(
            definition, file, scale, cells, layout, audience, data_dir=_path(data_dir)
        )
    options = [part for change in changes for part in ("--set", change)]
    options += ["--rounds", str(rounds)] if rounds else []
    return FinishedStudy(write_outputs(findings, layout, options), findings)


def _experiment(
    given: PathLike | Mapping[str, object] | Experiment, settings: tuple[str, ...]
) -> Experiment:
    if isinstance(given, str | Path):
        return load_experiment(Path(given), settings)
    if settings:
        raise ConfigError(
            "settings change an experiment that is a file; change the mapping itself, or read the "
            "file with load_experiment(path, settings)"
        )
    return given if isinstance(given, Experiment) else parse_experiment(given, "the experiment")


def _run_directory(experiment: object, out: PathLike | None) -> Path:
    if out is not None:
        return Path(out)
    if isinstance(experiment, str | Path):
        return RUNS / Path(experiment).stem
    raise ConfigError("an experiment that is not a file needs a run directory: give `out`")


def _folder(run: RunLike) -> Path:
    return run.path if isinstance(run, FinishedRun) else Path(run)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)
