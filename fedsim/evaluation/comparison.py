"""Is one attacker better than another? Differences with intervals and p-values.

Both sides are measured on the same draws of records, so whatever records coincide are paired: an
easy record is easy for both, and the difference is surer than the two figures are. Records that
only one side has are drawn independently. How much was paired is part of the answer.
"""

from dataclasses import dataclass

import numpy as np

from fedsim.evaluation.evaluate import EvaluationResult
from fedsim.evaluation.intervals import RESAMPLES, Replicates, bootstrap, percentile_interval
from fedsim.evaluation.joined_scores import EvaluationCase, mean_over
from fedsim.evaluation.metrics import Floats
from fedsim.evaluation.scores import Ids
from fedsim.seeds import generator


@dataclass(frozen=True)
class Difference:
    """`other` minus `reference`: the value, its percentile interval, a two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """How two evaluation results differ.

    Attributes
    ----------
    pairing
        ``paired`` (the same records with the same truth), ``partly paired`` or ``unpaired``.
    shared
        How many records both sides judged.
    accuracy, auc, tpr_at_fpr
        The differences; TPRs at those FPRs that both sides support.
    """

    pairing: str
    shared: int
    accuracy: Difference
    auc: Difference
    tpr_at_fpr: dict[float, Difference]


def compare(
    reference: EvaluationResult,
    other: EvaluationResult,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    same_records: bool = True,
) -> Comparison:
    """Compare two evaluation results, paired wherever their records coincide.

    Parameters
    ----------
    reference, other
        The difference is `other` minus `reference`.
    seed
        Of the bootstrap's draws.
    resamples
        Of the bootstrap; p-values cannot be smaller than 2 / (resamples + 1).
    same_records
        False where a record id names different records on the two sides (another data set).
    """
    fprs = sorted(set(reference.tpr_at_fpr) & set(other.tpr_at_fpr), reverse=True)
    groups = (reference.cases, other.cases)
    rng = generator(seed, "evaluation", "comparison")
    if same_records:
        pairing, shared = _pairing(reference, other)
        before, after = bootstrap(groups, fprs, rng, resamples)
    else:
        pairing, shared = "unpaired", 0
        before, after = (bootstrap([group], fprs, rng, resamples)[0] for group in groups)
    return Comparison(
        pairing=pairing,
        shared=shared,
        accuracy=_difference(
            mean_over(other.cases, EvaluationCase.accuracy)
            - mean_over(reference.cases, EvaluationCase.accuracy),
            after.accuracy - before.accuracy,
        ),
        auc=_difference(
            mean_over(other.cases, EvaluationCase.auc)
            - mean_over(reference.cases, EvaluationCase.auc),
            after.auc - before.auc,
        ),
        tpr_at_fpr=_tpr_differences(reference, other, before, after),
    )


def _tpr_differences(
    reference: EvaluationResult, other: EvaluationResult, before: Replicates, after: Replicates
) -> dict[float, Difference]:
    return {
        fpr: _difference(
            other.tpr_at_fpr[fpr].value - reference.tpr_at_fpr[fpr].value,
            after.tpr[fpr] - before.tpr[fpr],
        )
        for fpr in before.tpr
    }


def _difference(value: float, replicates: Floats) -> Difference:
    """Return the difference; p is the level at which the percentile interval just leaves 0 out.

    One is added to both counts (Davison & Hinkley 1997, eq. 4.11): no finite number of resamples
    can give p = 0.
    """
    not_above = (1 + (replicates <= 0).sum()) / (1 + len(replicates))
    not_below = (1 + (replicates >= 0).sum()) / (1 + len(replicates))
    p = float(min(1.0, 2 * min(not_above, not_below)))
    return Difference(value, *percentile_interval(replicates), p)


def _pairing(reference: EvaluationResult, other: EvaluationResult) -> tuple[str, int]:
    """Return how far the two sides judged the same records, and how many they share."""
    first, second = _judged(reference), _judged(other)
    shared = np.intersect1d(first[0], second[0])
    same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    name = "paired" if same else "partly paired" if shared.size else "unpaired"
    return name, int(shared.size)


def _judged(evaluation_result: EvaluationResult) -> tuple[Ids, Ids, Ids]:
    """Return the ids of all judged records, of members, and of non-members, over the victims."""
    records = np.concatenate([case.joined.records for case in evaluation_result.cases])
    member = np.concatenate([case.joined.member for case in evaluation_result.cases])
    return np.unique(records), np.unique(records[member]), np.unique(records[~member])
