"""Several runs beside each other, attack by attack, paired where their records coincide."""

from collections.abc import Sequence
from pathlib import Path

from fedsim.report.compared import ComparedRow, compared_rows, differences
from fedsim.report.results import read_results
from fedsim.rundir import RunDirectory
from fedsim.stages.judging import judge_run


def compare_runs(paths: Sequence[Path]) -> list[ComparedRow]:
    """Return the rows of a comparison; the first contender of an attack is its reference.

    Contenders are the adversaries of all runs, so one run compares local with global.

    Raises
    ------
    FedsimError
        If one of the runs is missing, unfinished or damaged.
    """
    names = _names(paths)
    runs = {name: RunDirectory.existing(path) for name, path in names.items()}
    results = {name: read_results(run.results) for name, run in runs.items()}
    judged = {name: judge_run(run) for name, run in runs.items()}
    verdicts = {
        (name, adversary, attack): verdict
        for name, one in judged.items()
        for (adversary, attack), verdict in one.means.items()
    }
    populations = {name: one.experiment.data.model_dump_json() for name, one in judged.items()}
    return compared_rows(results, differences(verdicts, populations, seed=0))


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the paths by their last part, or whole where that would be ambiguous."""
    short = [path.resolve().name for path in paths]
    unique = len(set(short)) == len(short)
    return {name if unique else str(path): path for name, path in zip(short, paths, strict=True)}
