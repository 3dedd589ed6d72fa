"""Comparison of two attackers: differences with intervals and p-values.

Both sides are measured on the same resamples of records, so records that both sides have are
paired: a record that is easy for one is often easy for the other, and the difference has a
narrower interval than the two figures. Records that only one side has are drawn independently. The
result says how many records were paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedsim.evaluation.estimates import percentile_interval
from fedsim.evaluation.evaluate import EvaluationResult
from fedsim.evaluation.intervals import RESAMPLES, bootstrap
from fedsim.evaluation.joined_scores import mean_over
from fedsim.evaluation.metric import Floats
from fedsim.evaluation.scores import Ids
from fedsim.seeds import generator


@dataclass(frozen=True)
class Difference:
    """`other` minus `reference`: the value, its percentile interval, and a two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """The differences of two evaluation results.

    Attributes
    ----------
    pairing
        ``paired`` (the same records with the same truth), ``partly paired`` or ``unpaired``.
    shared
        The number of records that both sides have.
    figures
        The differences, by the name of the metric: of each resampled metric for which both sides
        have a figure.
    """

    pairing: str
    shared: int
    figures: Mapping[str, Difference]

    @property
    def auc(self) -> Difference:
        """The difference of AUC."""
        return self.figures["auc"]


def compare(
    reference: EvaluationResult,
    other: EvaluationResult,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    same_records: bool = True,
) -> Comparison:
    """Compare two evaluation results; records that both have are paired.

    Parameters
    ----------
    reference, other
        The difference is `other` minus `reference`.
    seed
        Seed of the bootstrap.
    resamples
        Number of resamples; p-values cannot be smaller than 2 / (resamples + 1).
    same_records
        False if a record id names different records on the two sides (another data set).
    """
    metrics = [
        metric
        for metric in reference.metrics
        if metric.resampled and metric.name in reference.figures and metric.name in other.figures
    ]
    groups = (reference.cases, other.cases)
    rng = generator(seed, "evaluation", "comparison")
    if same_records:
        pairing, shared = _pairing(reference, other)
        before, after = bootstrap(groups, metrics, rng, resamples)
    else:
        pairing, shared = "unpaired", 0
        before, after = (bootstrap([group], metrics, rng, resamples)[0] for group in groups)
    return Comparison(
        pairing=pairing,
        shared=shared,
        figures={
            metric.name: _difference(
                mean_over(other.cases, metric) - mean_over(reference.cases, metric),
                after[metric.name] - before[metric.name],
            )
            for metric in metrics
        },
    )


def _difference(value: float, replicates: Floats) -> Difference:
    """Return a difference; p is the level at which the percentile interval just excludes 0.

    One is added to both counts (Davison & Hinkley 1997, eq. 4.11), because no finite number of
    resamples can give p = 0.
    """
    not_above = (1 + (replicates <= 0).sum()) / (1 + len(replicates))
    not_below = (1 + (replicates >= 0).sum()) / (1 + len(replicates))
    p = float(min(1.0, 2 * min(not_above, not_below)))
    return Difference(value, *percentile_interval(replicates), p)


def _pairing(reference: EvaluationResult, other: EvaluationResult) -> tuple[str, int]:
    """Return the kind of pairing of the two sides, and the number of shared records."""
    first, second = _judged(reference), _judged(other)
    shared = np.intersect1d(first[0], second[0])
    same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    name = "paired" if same else "partly paired" if shared.size else "unpaired"
    return name, int(shared.size)


def _judged(evaluation_result: EvaluationResult) -> tuple[Ids, Ids, Ids]:
    """Return the ids of all evaluated records, of members, and of non-members, over the victims."""
    records = np.concatenate([case.joined.records for case in evaluation_result.cases])
    member = np.concatenate([case.joined.member for case in evaluation_result.cases])
    return np.unique(records), np.unique(records[member]), np.unique(records[~member])
