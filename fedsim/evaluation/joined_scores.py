"""One attack on one victim, ready to be measured: joined scores and the thresholds to use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

import numpy as np

from fedsim.evaluation.metrics import Floats, TprAtFpr, auc, balanced_accuracy, tpr_at_fpr
from fedsim.evaluation.scores import Joined

P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """Scores of one attack on one victim, joined to the truth.

    Attributes
    ----------
    joined
        The tested records, their truth, and a row of scores for each seed of the attack.
    thresholds
        float64 (seeds,): at or above it a record is called a member. Chosen elsewhere, on the
        known records.
    """

    joined: Joined
    thresholds: Floats

    def accuracy(self) -> float:
        """Return the balanced accuracy at the thresholds, mean over the attack's seeds."""
        pairs = zip(self.joined.split(), self.thresholds, strict=True)
        return float(np.mean([balanced_accuracy(*scores, float(cut)) for scores, cut in pairs]))

    def auc(self) -> float:
        """Return the AUC, mean over the attack's seeds."""
        return self._mean(auc)

    def tpr(self, fpr: float) -> float:
        """Return the TPR at `fpr`, mean over the attack's seeds."""
        return float(np.mean([point.tpr for point in self._points(fpr)]))

    def false_positives(self, fpr: float) -> float:
        """Return how many false positives stand behind `tpr`, mean over the attack's seeds."""
        return float(np.mean([point.false_positives for point in self._points(fpr)]))

    def _points(self, fpr: float) -> list[TprAtFpr]:
        return [tpr_at_fpr(*scores, fpr) for scores in self.joined.split()]

    def _mean(self, metric: Callable[[Floats, Floats], float]) -> float:
        return float(np.mean([metric(*scores) for scores in self.joined.split()]))


def mean_over(
    cases: Sequence[EvaluationCase],
    metric: Callable[Concatenate[EvaluationCase, P], float],
    *args: P.args,
    **kw: P.kwargs,
) -> float:
    """Return the mean of `metric` over the cases, each counting once.

    What follows `metric` is handed to it: ``mean_over(cases, Case.tpr, 0.01)``.
    """
    return float(np.mean([metric(case, *args, **kw) for case in cases]))
