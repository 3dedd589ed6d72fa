"""From evaluation results to the rows of `results.json`."""

from collections.abc import Iterable, Mapping

from fedsim.evaluation import EvaluationResult
from fedsim.evaluation.metric import FRACTIONS, Metric
from fedsim.report.guarantees import CeilingFigure
from fedsim.report.result_schema import DifferenceFigure, MetricFigure, MetricInfo, ResultRow


def result_row(
    adversary: str,
    attack: str,
    victim: str,
    evaluation_result: EvaluationResult,
    *,
    baseline: bool = False,
    over_label: Mapping[str, DifferenceFigure] | None = None,
    ceiling: CeilingFigure | None = None,
    refutes: str = "",
) -> ResultRow:
    """Return an evaluation result as a row of the results."""
    return ResultRow(
        adversary=adversary,
        attack=attack,
        victim=victim,
        figures={
            metric.name: _figure(metric, evaluation_result)
            for metric in evaluation_result.metrics
            if metric.name in evaluation_result.figures
        },
        refused=dict(evaluation_result.refused),
        members=evaluation_result.members,
        nonmembers=evaluation_result.nonmembers,
        confidence=evaluation_result.confidence,
        resamples=evaluation_result.resamples,
        attack_seeds=evaluation_result.seeds,
        baseline=baseline,
        over_label=dict(over_label or {}),
        ceiling=ceiling,
        refutes=refutes,
    )


def metric_infos(metrics: Iterable[Metric]) -> dict[str, MetricInfo]:
    """Return how metrics are printed, by name."""
    return {
        metric.name: MetricInfo(
            heading=metric.heading,
            title=metric.title,
            explanation=metric.explanation,
            unit=metric.unit,
            higher_is=metric.higher_is,
            guessing=metric.guessing,
        )
        for metric in metrics
    }


def _figure(metric: Metric, result: EvaluationResult) -> MetricFigure:
    """Return a figure with its interval; fractions are clipped to 0..1."""
    estimate = result.figures[metric.name]
    numbers = {
        name: float(getattr(estimate, name)) for name in ("value", "low", "high", "least", "most")
    }
    if metric.unit in FRACTIONS:
        numbers = {name: min(1.0, max(0.0, number)) for name, number in numbers.items()}
    return MetricFigure.model_validate(
        numbers | {"method": estimate.method} | dict(result.details[metric.name])
    )
