"""One attack on one victim, ready to be measured: joined scores and the thresholds to use."""

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
        float64 (seeds,): at or above it a record is classified as a member. Chosen elsewhere, on
        the auxiliary records.
    auxiliary
        The scores of those, of members and of non-members, a pair for each seed.
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
            If the metric fails, or gives no finite number or no fraction where it says so.
        """
        values = [own_error(metric, metric.point, scored) for scored in self.scored]
        require_in_range(metric, np.asarray(values, dtype=np.float64))
        return float(np.mean(values))

    def details(self, metric: Metric) -> dict[str, float]:
        """Return what stands beside a metric's figure, mean over the attack's seeds."""
        found = [dict(own_error(metric, metric.details, scored)) for scored in self.scored]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def mean_over(cases: Sequence[EvaluationCase], metric: Metric) -> float:
    """Return the mean of a metric over the cases, each counting once."""
    return float(np.mean([case.measure(metric) for case in cases]))


def mean_details(cases: Sequence[EvaluationCase], metric: Metric) -> dict[str, float]:
    """Return the mean over the cases of what stands beside a metric's figure."""
    found = [case.details(metric) for case in cases]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def own_error(metric: Metric, method: Callable[[A], R], argument: A) -> R:
    """Call a metric's method; what a third party's raises becomes one sentence."""
    try:
        return method(argument)
    except FedsimError:
        raise
    except Exception as error:  # a third party's metric may raise anything
        said = " ".join(str(error).split())
        message = f"metric {metric.name!r} failed: {type(error).__name__}: {said}"
        raise PluginError(message) from error


def require_in_range(metric: Metric, values: Floats) -> None:
    """Raise `PluginError` unless all figures are finite, and fractions where the unit says so."""
    if not np.isfinite(values).all():
        raise PluginError(f"metric {metric.name!r} gave a figure that is no finite number")
    # Sums of weights may end a rounding error beyond 1.
    if metric.unit in FRACTIONS and not (values.min() >= -1e-9 and values.max() <= 1 + 1e-9):
        raise PluginError(
            f"metric {metric.name!r} gave a figure outside 0..1, which its unit "
            f'{metric.unit!r} promises; set unit = "number"'
        )
