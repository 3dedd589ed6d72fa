"""The input of metrics: the scores of one attack on one victim, with truth and thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from fedsim.errors import FedsimError, PluginError
from fedsim.evaluation.metric import FRACTIONS, Floats, Metric, ScoredRecords
from fedsim.evaluation.scores import Joined

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """Scores of one attack on one victim, joined to the truth.

    Attributes
    ----------
    joined
        The evaluation records, their truth, and a row of scores for each seed of the attack.
    thresholds
        float64 (seeds,): a record with a score at or above the threshold is classified as a
        member. Thresholds are chosen on the auxiliary records.
    auxiliary
        The scores of the auxiliary members and non-members, a pair for each seed.
    """

    joined: Joined
    thresholds: Floats
    auxiliary: tuple[tuple[Floats, Floats], ...] = ()

    @cached_property
    def scored(self) -> tuple[ScoredRecords, ...]:
        """The scores of members and of non-members, one for each seed of the attack."""
        known = self.auxiliary or (None,) * len(self.thresholds)
        rows = zip(self.joined.split(), self.thresholds, known, strict=True)
        return tuple(ScoredRecords(*scores, float(cut), known) for scores, cut, known in rows)

    def measure(self, metric: Metric) -> float:
        """Return a metric's figure, mean over the attack's seeds.

        Raises
        ------
        PluginError
            If the metric fails, or returns a figure that is not finite or is outside its unit's
            range.
        """
        values = [call_metric_method(metric, metric.point, scored) for scored in self.scored]
        require_in_range(metric, np.asarray(values, dtype=np.float64))
        return float(np.mean(values))

    def details(self, metric: Metric) -> dict[str, float]:
        """Return the additional numbers of a metric, mean over the attack's seeds."""
        found = [dict(call_metric_method(metric, metric.details, scored)) for scored in self.scored]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def mean_over(cases: Sequence[EvaluationCase], metric: Metric) -> float:
    """Return the unweighted mean of a metric over the cases."""
    return float(np.mean([case.measure(metric) for case in cases]))


def mean_details(cases: Sequence[EvaluationCase], metric: Metric) -> dict[str, float]:
    """Return the unweighted mean over the cases of a metric's additional numbers."""
    found = [case.details(metric) for case in cases]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def call_metric_method(metric: Metric, method: Callable[[A], R], argument: A) -> R:
    """Call a metric's method; any exception of a third party's becomes a `PluginError`."""
    try:
        return method(argument)
    except FedsimError:
        raise
    except Exception as error:  # a third party's metric may raise anything
        said = " ".join(str(error).split())
        message = f"metric {metric.name!r} failed: {type(error).__name__}: {said}"
        raise PluginError(message) from error


def require_in_range(metric: Metric, values: Floats) -> None:
    """Raise `PluginError` unless all figures are finite and in the range of the metric's unit."""
    if not np.isfinite(values).all():
        raise PluginError(f"metric {metric.name!r} gave a figure that is no finite number")
    # Sums of weights may exceed 1 by a rounding error.
    if metric.unit in FRACTIONS and not (values.min() >= -1e-9 and values.max() <= 1 + 1e-9):
        raise PluginError(
            f"metric {metric.name!r} gave a figure outside 0..1, which its unit "
            f'{metric.unit!r} promises; set unit = "number"'
        )
