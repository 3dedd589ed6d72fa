"""Several runs beside each other, attack by attack, paired where their records coincide."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from fedsim.config.loading import read_experiment
from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import RunDirectoryError
from fedsim.report.comparison_page import ComparedRun, ComparisonData
from fedsim.report.comparison_rows import ComparedRow, compared_rows, contenders_of, differences
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.ceilings import read_guarantees
from fedsim.stages.figures.evaluate import EvaluatedRun, evaluate_run
from fedsim.stages.figures.utility import read_history, utility_points
from fedsim.stages.page import report_charts, report_text
from fedsim.stages.preparation.federations import federations_of

_LABEL = "label"
_RUN_BY = "engine"
_COMMIT_DIGITS = 10


def compare_runs(paths: Sequence[Path]) -> list[ComparedRow]:
    """Return the rows of a comparison, each adversary against itself in an earlier run.

    Contenders are the adversaries of all runs. What no earlier run has is compared with the first
    contender of the attack, so one run compares local with global.

    Raises
    ------
    FedsimError
        If one of the runs is missing, unfinished or damaged.
    """
    return _rows(*_read(_existing(paths)))


def comparison(paths: Sequence[Path]) -> ComparisonData:
    """Return what `compare_runs` does, and what else the page of a comparison shows.

    Raises
    ------
    FedsimError
        If one of the runs is missing, unfinished or damaged.
    """
    runs = _existing(paths)
    results, evaluated = _read(runs)
    rows = _rows(results, evaluated)
    contenders = contenders_of(rows)
    return ComparisonData(
        runs=[_run(name, runs[name], results[name], evaluated[name]) for name in runs],
        rows=rows,
        contenders=contenders,
        rocs=[
            roc
            for name, one in evaluated.items()
            for roc in report_charts.rocs(one, partial(_called, contenders, name))
        ],
        settings=list(_settings(runs)),
    )


def _called(contenders: Mapping[tuple[str, str], str], run: str, adversary: str) -> str:
    return contenders[run, adversary]


def _existing(paths: Sequence[Path]) -> dict[str, RunDirectory]:
    """Return the runs by the last part of their paths, or whole where that would be ambiguous."""
    short = [path.resolve().name for path in paths]
    unique = len(set(short)) == len(short)
    runs = {
        name if unique else str(path): RunDirectory.existing(path)
        for name, path in zip(short, paths, strict=True)
    }
    # The effect of a defence is measured against the run without it, in any order.
    return dict(sorted(runs.items(), key=lambda one: _is_defended(one[1])))


def _is_defended(run: RunDirectory) -> bool:
    """Return whether a run has defences, or a trainer with a guarantee."""
    experiment = read_experiment(run.experiment, plugins_needed=False)
    return bool(experiment.defences or read_guarantees(run))


def _read(runs: Mapping[str, RunDirectory]) -> tuple[dict[str, Results], dict[str, EvaluatedRun]]:
    """Return each run's results, with the evaluation results that they were made from."""
    results = {name: read_results(run.results) for name, run in runs.items()}
    evaluated = {name: evaluate_run(run) for name, run in runs.items()}
    for name, run in runs.items():
        in_results = {(row.adversary, row.attack) for row in results[name].summary()}
        if in_results != evaluated[name].means.keys():
            raise RunDirectoryError(
                f"{run.results} is of other attacks than the scores beside it; run `fedsim report "
                f"{run.path}` and compare again"
            )
    return results, evaluated


def _rows(
    results: Mapping[str, Results], evaluated: Mapping[str, EvaluatedRun]
) -> list[ComparedRow]:
    evaluation_results = {
        (name, adversary, attack): evaluation_result
        for name, one in evaluated.items()
        for (adversary, attack), evaluation_result in one.means.items()
    }
    populations = {name: one.experiment.data.model_dump_json() for name, one in evaluated.items()}
    return compared_rows(results, differences(evaluation_results, populations, seed=0))


def _run(name: str, run: RunDirectory, results: Results, evaluated: EvaluatedRun) -> ComparedRun:
    history = read_history(run, federations_of(evaluated.attackers)[0].name)
    facts = dict(report_text.facts(evaluated.experiment, evaluated.ledger))
    facts.pop("observed rounds", None)  # too long for a cell; reported where they differ
    commit = results.provenance.get("commit")
    if commit:
        facts["commit"] = str(commit)[:_COMMIT_DIGITS]
    return ComparedRun(
        name, facts, results.utility, utility_points(history), results.utility_figure
    )


def _settings(runs: Mapping[str, RunDirectory]) -> Iterator[tuple[str, list[str]]]:
    """Yield the settings that are not the same in all experiments, and each one's value."""
    experiments = [
        dict(_flat(parse_yaml(run.experiment.read_text(encoding="utf-8"), str(run.experiment))))
        for run in runs.values()
    ]
    for setting in dict.fromkeys(name for one in experiments for name in one):
        values = [one.get(setting, "–") for one in experiments]  # noqa: RUF001 a dash
        if len(set(values)) > 1 and not setting.startswith(f"{_RUN_BY}."):
            yield setting, values


def _flat(tree: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the value of each setting; what has a label goes by its label."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            if key != _LABEL:
                yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list) and tree and all(isinstance(one, dict) for one in tree):
        for place, one in enumerate(tree):
            yield from _flat(one, f"{name}.{one.get(_LABEL, place)}")
    else:
        yield name, _spelled(tree)


def _spelled(value: object) -> str:
    """Return a value as the YAML of an experiment has it; lists have no brackets."""
    if isinstance(value, list) and value:
        return ", ".join(map(_spelled, value))
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
