"""Evaluation of an attack: the one implementation that turns scores into figures.

For each seed of an attack the threshold is chosen on the auxiliary records (out-of-fold scores) and
applied to the evaluation records; metrics are means over the seeds. The interval covers the
sampling of records: the variation of the figure if other records were drawn in the same way. It
does not cover the variation between trainings of the federation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fedsim.evaluation.estimates import (
    CONFIDENCE,
    ONE_SIDED,
    Estimate,
    bound_estimate,
    clopper_pearson,
    estimate,
    exact_estimate,
)
from fedsim.evaluation.intervals import RESAMPLES, bootstrap
from fedsim.evaluation.joined_scores import EvaluationCase, mean_details, mean_over
from fedsim.evaluation.metric import FRACTIONS, Floats, Metric
from fedsim.evaluation.metric_choice import default_metrics
from fedsim.evaluation.scores import EvaluationError, Scores, Truth, join
from fedsim.evaluation.thresholds import best_threshold
from fedsim.seeds import generator


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The figures of an attack on one victim, or their mean over several victims.

    Attributes
    ----------
    figures
        The figures with their intervals, by the name of the metric.
    details
        Additional numbers of a metric, by its name: for a TPR the number of false positives (mean
        over seeds and victims).
    refused
        Why a metric was not measured on so few records, by the name of the metric.
    metrics
        The metrics that were measured or refused, in order.
    members, nonmembers
        The numbers of evaluated records, summed over the victims.
    seeds
        The number of seeds of the attack, over which figures are means.
    resamples, confidence
        The number of resamples of the bootstrap, and the confidence of the intervals.
    cases
        The scores, one case for each victim, from which `compare` and curves are computed.
    """

    figures: Mapping[str, Estimate]
    details: Mapping[str, Mapping[str, float]]
    refused: Mapping[str, str]
    metrics: tuple[Metric, ...]
    members: int
    nonmembers: int
    seeds: int
    resamples: int
    confidence: float
    cases: tuple[EvaluationCase, ...]

    @property
    def accuracy(self) -> Estimate:
        """Balanced accuracy at the calibrated thresholds, if it was measured."""
        return self.figures["accuracy"]

    @property
    def auc(self) -> Estimate:
        """The area under the ROC, if it was measured."""
        return self.figures["auc"]


def evaluate_attack(
    tested: Scores,
    calibration: Scores,
    truth_tested: Truth,
    truth_calibration: Truth,
    *,
    seed: int,
    metrics: Sequence[Metric] | None = None,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Evaluate one attack on one victim.

    Parameters
    ----------
    tested, calibration
        Scores of the evaluation records, and out-of-fold scores of the auxiliary records, from the
        same seeds of the attack.
    truth_tested, truth_calibration
        Which records are members; joined to the scores by record id.
    seed
        Seed of the bootstrap.
    metrics
        The metrics to measure; by default accuracy, AUC, and the TPR at an FPR of 1 and of 0.1 %.
    resamples
        The number of resamples of the bootstrap.

    Raises
    ------
    EvaluationError
        If scores and truth are not of the same records, if a record is both an auxiliary and an
        evaluation record, or if the two scores come from different numbers of seeds.
    """
    case = calibrate(tested, calibration, truth_tested, truth_calibration)
    return _evaluation_result([case], _or_default(metrics), seed, resamples)


def mean_evaluation_result(
    evaluation_results: Sequence[EvaluationResult],
    *,
    seed: int,
    metrics: Sequence[Metric] | None = None,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Return the unweighted mean over the victims of one attack, with intervals.

    Records that several victims share (non-members of all) are resampled together, so the interval
    is not too narrow because of records that count several times.
    """
    if not evaluation_results:
        raise EvaluationError("a mean over no victims was requested; at least one is needed")
    return _evaluation_result(
        [case for one in evaluation_results for case in one.cases],
        _or_default(metrics),
        seed,
        resamples,
    )


def _or_default(metrics: Sequence[Metric] | None) -> tuple[Metric, ...]:
    return default_metrics() if metrics is None else tuple(metrics)


def calibrate(
    tested: Scores, calibration: Scores, truth_tested: Truth, truth_calibration: Truth
) -> EvaluationCase:
    """Join scores to the truth, and choose each seed's threshold on the calibration scores.

    See `evaluate_attack` for the parameters and the errors.
    """
    if (both := np.intersect1d(truth_tested.records, truth_calibration.records)).size:
        raise EvaluationError(
            f"{both.size} records are both known and tested, record {both[0]} among them; "
            "an attack may not be tested on records that it knows"
        )
    joined = join(tested, truth_tested, "tested")
    known = join(calibration, truth_calibration, "known")
    if joined.seeds != known.seeds:
        raise EvaluationError(
            f"the tested records have scores from {joined.seeds} seeds of the attack and the known "
            f"ones from {known.seeds}; both must come from the same seeds"
        )
    auxiliary = tuple(known.split())
    thresholds = np.array([best_threshold(*scores) for scores in auxiliary])
    return EvaluationCase(joined, thresholds, auxiliary)


def _evaluation_result(
    cases: Sequence[EvaluationCase], metrics: Sequence[Metric], seed: int, resamples: int
) -> EvaluationResult:
    """Measure the mean over the cases; `cases` must not be empty."""
    members = min(case.joined.members for case in cases)
    nonmembers = min(case.joined.nonmembers for case in cases)
    reasons = {metric.name: metric.refusal(members, nonmembers) for metric in metrics}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    supported = [metric for metric in metrics if metric.name not in refused]
    rng = generator(seed, "evaluation", "bootstrap")
    replicates = bootstrap([cases], [one for one in supported if one.resampled], rng, resamples)[0]
    return EvaluationResult(
        figures={
            metric.name: _exact(cases, metric)
            or _own(cases, metric)
            or _estimate(cases, metric, replicates.get(metric.name), members, nonmembers)
            for metric in supported
        },
        details={metric.name: mean_details(cases, metric) for metric in supported},
        refused=refused,
        metrics=tuple(metrics),
        members=sum(case.joined.members for case in cases),
        nonmembers=sum(case.joined.nonmembers for case in cases),
        seeds=min(case.joined.seeds for case in cases),
        resamples=resamples,
        confidence=CONFIDENCE,
        cases=tuple(cases),
    )


def _estimate(
    cases: Sequence[EvaluationCase],
    metric: Metric,
    replicates: Floats | None,
    members: int,
    nonmembers: int,
) -> Estimate:
    if replicates is None:
        return bound_estimate(mean_over(cases, metric))
    trials = metric.independent_records(members, nonmembers)
    fraction = metric.unit in FRACTIONS
    return estimate(mean_over(cases, metric), replicates, trials, fraction=fraction)


def _exact(cases: Sequence[EvaluationCase], metric: Metric) -> Estimate | None:
    """Return a figure with its exact interval if it is a plain proportion of records.

    This requires one victim, one seed, and a metric that is a proportion. A mean over seeds counts
    the same record several times and is not a binomial proportion.
    """
    if len(cases) > 1 or cases[0].joined.seeds > 1:
        return None
    counted = metric.proportion(cases[0].scored[0])
    if counted is None:
        return None
    return exact_estimate(cases[0].measure(metric), partial(clopper_pearson, *counted))


def _own(cases: Sequence[EvaluationCase], metric: Metric) -> Estimate | None:
    """Return a figure with the metric's own interval, averaged over seeds and victims."""
    scored = [one for case in cases for one in case.scored]

    def interval(confidence: float) -> tuple[float, float] | None:
        ends = [metric.own_interval(one, confidence) for one in scored]
        found = [one for one in ends if one is not None]
        if len(found) < len(scored):
            return None
        low, high = np.mean(found, axis=0)
        return float(low), float(high)

    if (central := interval(CONFIDENCE)) is None or (limits := interval(ONE_SIDED)) is None:
        return None
    return Estimate(mean_over(cases, metric), *central, "exact", *limits)
