"""The self-check of a run: its attacks against the guarantees of its defences.

What a guarantee allows is in `fedsim.privacy.guarantee.Ceiling`. An attack whose lower confidence
limit lies above it refutes the guarantee: noise is missing, an assumption does not hold, or the
attack sees what it may not.
"""

from collections.abc import Iterator

from fedsim.evaluation.evaluate import EvaluationResult
from fedsim.evaluation.metrics import TprAtFpr
from fedsim.privacy.guarantee import Ceiling

FEWEST_FALSE_POSITIVES = 10
"""With fewer behind it, the interval of a TPR at a low FPR covers too seldom to refute anything."""


def exceeded(result: EvaluationResult, ceiling: Ceiling) -> str:
    """Return which figure of an attack lies above a ceiling, with its limit; empty if none does.

    The AUC, the balanced accuracy, and every TPR at an FPR with ten false positives or more.
    """
    for heading, low, most in _limits(result, ceiling):
        if low > most:
            return f"{heading} is at least {low:.3f}, where {most:.3f} is the most"
    return ""


def _limits(result: EvaluationResult, ceiling: Ceiling) -> Iterator[tuple[str, float, float]]:
    """Yield the name of each figure, its lower confidence limit, and its ceiling."""
    for metric in result.metrics:
        figure = result.figures.get(metric.name)
        if figure is None:
            continue
        if metric.name == "auc":
            yield "the AUC", figure.low, ceiling.auc
        elif metric.name == "accuracy":
            yield "the accuracy", figure.low, ceiling.accuracy
        elif isinstance(metric, TprAtFpr):
            behind = result.details[metric.name].get("false_positives", 0.0)
            if behind >= FEWEST_FALSE_POSITIVES:
                yield f"the TPR at an FPR of {metric.fpr:g}", figure.low, ceiling.tpr(metric.fpr)
