"""The one judge: whatever produced the scores, it is measured by this code.

For each seed of an attack the threshold is chosen on the *known* records (out-of-fold scores) and
applied to the *tested* ones; metrics are means over the seeds. The interval speaks of the records:
other records drawn in the same way would move the figure by so much. It does not speak of training
the federation again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedsim.evaluation.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    bootstrap,
    clopper_pearson,
    estimate,
)
from fedsim.evaluation.joined_scores import EvaluationCase, mean_over
from fedsim.evaluation.metrics import best_threshold, refusal
from fedsim.evaluation.scores import EvaluationError, Scores, Truth, join
from fedsim.seeds import generator

FPRS = (0.01, 0.001)


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an attack achieves on one victim, or on average over several.

    Attributes
    ----------
    accuracy, auc
        Balanced accuracy at the calibrated thresholds, and area under the ROC, with intervals.
    tpr_at_fpr
        The TPR at each FPR that the number of non-members supports.
    false_positives
        How many false positives stand behind each TPR (mean over seeds and victims).
    refused_fprs
        Each FPR that is not supported, and why.
    members, nonmembers
        How many records were judged, summed over the victims.
    seeds
        How many seeds of the attack the figures are means over.
    resamples, confidence
        Of the bootstrap.
    cases
        The scores behind the figures, one case a victim: what `compare` and curves are made of.
    """

    accuracy: Estimate
    auc: Estimate
    tpr_at_fpr: dict[float, Estimate]
    false_positives: dict[float, float]
    refused_fprs: dict[float, str]
    members: int
    nonmembers: int
    seeds: int
    resamples: int
    confidence: float
    cases: tuple[EvaluationCase, ...]


def judge(
    tested: Scores,
    calibration: Scores,
    truth_tested: Truth,
    truth_calibration: Truth,
    *,
    seed: int,
    fprs: Sequence[float] = FPRS,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Judge one attack on one victim.

    Parameters
    ----------
    tested, calibration
        Scores of the tested records, and out-of-fold scores of the known ones, from the same seeds
        of the attack.
    truth_tested, truth_calibration
        Who is a member; joined to the scores by record id.
    seed
        Of the bootstrap's draws.
    fprs
        False positive rates in (0, 1) at which the TPR is wanted.
    resamples
        Of the bootstrap.

    Raises
    ------
    EvaluationError
        If scores and truth do not fit record by record, if a record is both known and tested, or
        if the two scores come from different numbers of seeds.
    """
    case = calibrated(tested, calibration, truth_tested, truth_calibration)
    return _evaluation_result([case], fprs, seed, resamples)


def mean_evaluation_result(
    evaluation_results: Sequence[EvaluationResult],
    *,
    seed: int,
    fprs: Sequence[float] = FPRS,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Return the mean over victims of one attack, each victim counting once, with intervals.

    Records that several victims share (non-members of all) are resampled together, so the interval
    is not narrowed by counting them twice.
    """
    if not evaluation_results:
        raise EvaluationError("a mean over no victims was asked for; at least one is needed")
    return _evaluation_result(
        [case for one in evaluation_results for case in one.cases], fprs, seed, resamples
    )


def calibrated(
    tested: Scores, calibration: Scores, truth_tested: Truth, truth_calibration: Truth
) -> EvaluationCase:
    """Join scores to truth and choose each seed's threshold on the calibration scores.

    See `judge` for the parameters and the errors.
    """
    if (both := np.intersect1d(truth_tested.records, truth_calibration.records)).size:
        raise EvaluationError(
            f"{both.size} records are both known and tested, record {both[0]} among them; "
            "an attack may not be tested on what it was told"
        )
    joined = join(tested, truth_tested, "tested")
    known = join(calibration, truth_calibration, "known")
    if joined.seeds != known.seeds:
        raise EvaluationError(
            f"the tested records have scores from {joined.seeds} seeds of the attack and the known "
            f"ones from {known.seeds}; both must come from the same seeds"
        )
    return EvaluationCase(joined, np.array([best_threshold(*scores) for scores in known.split()]))


def _evaluation_result(
    cases: Sequence[EvaluationCase], fprs: Sequence[float], seed: int, resamples: int
) -> EvaluationResult:
    """Measure the cases and their mean; `cases` is not empty."""
    refused = _refused(cases, fprs)
    supported = [fpr for fpr in fprs if fpr not in refused]
    rng = generator(seed, "evaluation", "bootstrap")
    replicates = bootstrap([cases], supported, rng, resamples)[0]
    members = min(case.joined.members for case in cases)
    # As many independent (member, non-member) pairs as the smaller side has records.
    pairs = min(members, *(case.joined.nonmembers for case in cases))
    return EvaluationResult(
        accuracy=_exact_accuracy(cases)
        or estimate(mean_over(cases, EvaluationCase.accuracy), replicates.accuracy, pairs),
        auc=estimate(mean_over(cases, EvaluationCase.auc), replicates.auc, pairs),
        tpr_at_fpr={
            fpr: estimate(mean_over(cases, EvaluationCase.tpr, fpr), replicates.tpr[fpr], members)
            for fpr in supported
        },
        false_positives={
            fpr: mean_over(cases, EvaluationCase.false_positives, fpr) for fpr in supported
        },
        refused_fprs=refused,
        members=sum(case.joined.members for case in cases),
        nonmembers=sum(case.joined.nonmembers for case in cases),
        seeds=min(case.joined.seeds for case in cases),
        resamples=resamples,
        confidence=CONFIDENCE,
        cases=tuple(cases),
    )


def _refused(cases: Sequence[EvaluationCase], fprs: Sequence[float]) -> dict[float, str]:
    """Return the FPRs that the victim with the fewest non-members cannot support, and why."""
    for fpr in fprs:
        if not 0 < fpr < 1:
            raise EvaluationError(f"a false positive rate of {fpr} was asked for; use 0 < rate < 1")
    fewest = min(case.joined.nonmembers for case in cases)
    return {fpr: reason for fpr in fprs if (reason := refusal(fpr, fewest)) is not None}


def _exact_accuracy(cases: Sequence[EvaluationCase]) -> Estimate | None:
    """Return the accuracy with its exact interval where it is a plain proportion of records.

    That is: one victim, one seed, as many members as non-members. A mean over seeds counts the
    same record several times and is no binomial proportion.
    """
    joined = cases[0].joined
    if len(cases) > 1 or joined.seeds > 1 or joined.members != joined.nonmembers:
        return None
    accuracy, records = cases[0].accuracy(), len(joined.records)
    interval = clopper_pearson(round(accuracy * records), records)
    return Estimate(accuracy, *interval, "exact")
