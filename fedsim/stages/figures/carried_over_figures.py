"""Figures of metrics whose plugins are missing, taken over from the previous results.

The file of a user's own metric may be missing where a run is reported again. Its figures in
``results.json`` are still valid if the scores are the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedsim.config.metrics import MetricChoice
from fedsim.errors import PluginError
from fedsim.evaluation.metric import Metric
from fedsim.evaluation.metric_choice import build_metric, build_metrics
from fedsim.report.result_schema import ResultRow
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory


@dataclass(frozen=True)
class FoundMetrics:
    """The metrics of an experiment that could be built, and why each of the others could not."""

    metrics: tuple[Metric, ...]
    missing: tuple[PluginError, ...] = ()


def found_metrics(choices: Iterable[MetricChoice]) -> FoundMetrics:
    """Return the metrics of an experiment whose plugins can be built.

    Raises
    ------
    PluginError
        If two have one name.
    """
    there, missing = [], []
    for choice in choices:
        try:
            build_metric(choice)
        except PluginError as error:
            missing.append(error)
        else:
            there.append(choice)
    return FoundMetrics(build_metrics(there), tuple(missing))


def with_carried_over_figures(
    results: Results, run: RunDirectory, missing: Sequence[PluginError]
) -> Results:
    """Return results with the previous figures of metrics that cannot be built.

    Parameters
    ----------
    results
        The new results, without those metrics.
    run
        The run, with its previous results if there are any.
    missing
        Why each metric could not be built.

    Raises
    ------
    PluginError
        If the previous results lack such figures, or the scores have changed since.
    """
    if not missing:
        return results
    if not run.results.is_file():
        raise missing[0]
    before = read_results(run.results)
    kept = {name: info for name, info in before.metrics.items() if name not in results.metrics}
    rows = {row.key: row for row in before.results}
    same = all(_same_scores(row, rows.get(row.key)) for row in results.results)
    if len(kept) < len(missing) or not same:
        raise missing[0]
    return results.model_copy(
        update={
            "metrics": {**results.metrics, **kept},
            "results": tuple(_with_kept(row, rows[row.key], kept) for row in results.results),
        }
    )


def _same_scores(row: ResultRow, before: ResultRow | None) -> bool:
    return before is not None and (row.accuracy, row.auc) == (before.accuracy, before.auc)


def _with_kept(row: ResultRow, before: ResultRow, kept: Iterable[str]) -> ResultRow:
    return row.model_copy(
        update={
            part: {
                **getattr(row, part),
                **{
                    name: getattr(before, part)[name]
                    for name in kept
                    if name in getattr(before, part)
                },
            }
            for part in ("figures", "refused", "over_label")
        }
    )
