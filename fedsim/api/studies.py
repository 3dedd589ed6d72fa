"""`fedsim.study`: every cell of a study, and its tables and figures."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from fedsim.api.arguments import RUNS, PathLike, as_path
from fedsim.api.finished_study import FinishedStudy
from fedsim.api.runs import run
from fedsim.config.experiment import Experiment
from fedsim.config.shipped import config_path
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.files import usable_path
from fedsim.progress import SILENCE, Watcher
from fedsim.progress_sinks.study import watching_cells
from fedsim.report.results import Results
from fedsim.studies.cells import Cell, chosen, expand
from fedsim.studies.definition import Scale, Study, load_study
from fedsim.studies.findings import PlannedCell
from fedsim.studies.layout import StudyPaths
from fedsim.studies.running import Audience, plan, run_cells, run_study
from fedsim.studies.tables import check_coordinates
from fedsim.studies.writing import write_outputs

STUDIES = RUNS / "studies"
"""The folder that studies are run in, where the caller names none."""
FOLDER = "the folder of studies"

OpenAudience = Callable[[Sequence[Cell]], AbstractContextManager[Audience]]
"""Gives, within the context, what receives the progress of the cells."""


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
    open_audience: OpenAudience | None = None,
) -> FinishedStudy:
    """Run the cells of a study that are not finished, and write its tables and figures.

    Parameters
    ----------
    path
        The study (YAML).
    scale
        Which of its sizes.
    out
        The folder in which studies are run and share federations.
    settings
        ``a.b=c`` each: settings to change in every cell.
    rounds
        The number of rounds after which every federation ends; None runs them all.
    data_dir
        Where the data sets' files are; None downloads them.
    watcher
        Receives the progress of the cells and of the work in them.
    open_audience
        Yields the receiver of the progress instead of `watcher`, for callers that treat cells
        separately.

    Raises
    ------
    FedsimError
        If the study is not valid, or a cell cannot be run.
    """
    changes, layout = tuple(settings), StudyPaths(usable_path(out, FOLDER))
    file, definition, cells = _expanded(path, scale, changes, rounds)
    with _audience(open_audience, watcher, cells) as audience:
        findings = run_study(
            definition, file, scale, cells, layout, audience, _run_cell, as_path(data_dir)
        )
    options = [part for change in changes for part in ("--set", change)]
    options += ["--rounds", str(rounds)] if rounds else []
    return FinishedStudy(write_outputs(findings, layout, options), findings)


@only_warnings_of_flower()
def run_study_cells(
    path: PathLike,
    only: Iterable[str],
    *,
    scale: Scale = "cpu",
    out: PathLike = STUDIES,
    settings: Iterable[str] = (),
    rounds: int | None = None,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
    open_audience: OpenAudience | None = None,
) -> None:
    """Run some cells of a study without writing tables; `study` reuses their runs.

    Parameters
    ----------
    path, scale, out, settings, rounds, data_dir, watcher, open_audience
        As in `study`.
    only
        ``axis=value`` each: the cells that have all of these values.

    Raises
    ------
    FedsimError
        If the study is not valid, has no such cell, or a cell cannot be run.
    """
    layout = StudyPaths(usable_path(out, FOLDER))
    _, definition, cells = _expanded(path, scale, settings, rounds)
    check_coordinates(definition, cells)
    some = chosen(cells, only)
    with _audience(open_audience, watcher, some) as audience:
        run_cells(some, layout, audience, _run_cell, as_path(data_dir))


def plan_study(
    path: PathLike,
    *,
    scale: Scale = "cpu",
    out: PathLike = STUDIES,
    settings: Iterable[str] = (),
    rounds: int | None = None,
) -> list[PlannedCell]:
    """Return what `study` would do with the same arguments, cell by cell; nothing is computed.

    Raises
    ------
    FedsimError
        If the study is not valid.
    """
    _, definition, cells = _expanded(path, scale, settings, rounds)
    return plan(definition, cells, StudyPaths(usable_path(out, FOLDER)))


def _expanded(
    path: PathLike, scale: Scale, settings: Iterable[str], rounds: int | None
) -> tuple[Path, Study, list[Cell]]:
    """Return a study's file, the study, and its cells at a scale."""
    file = config_path(Path(path))
    definition = load_study(file)
    return file, definition, expand(definition, file, scale, tuple(settings), rounds)


def _audience(
    open_audience: OpenAudience | None, watcher: Watcher, cells: Sequence[Cell]
) -> AbstractContextManager[Audience]:
    return watching_cells(watcher, cells) if open_audience is None else open_audience(cells)


def _run_cell(
    experiment: Experiment,
    folder: Path,
    *,
    data_dir: Path | None,
    watcher: Watcher,
    states: Path,
) -> Results:
    finished = run(experiment, folder, data_dir=data_dir, watcher=watcher, states=states)
    return finished.results
