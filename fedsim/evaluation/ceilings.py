"""The self-check of a run, which compares its attacks with the guarantees of its defences.

`fedsim.privacy.guarantee.Ceiling` has the upper limits that a guarantee implies. An attack whose
lower confidence limit lies above such a limit refutes the guarantee: noise is missing, an
assumption does not hold, or the attack sees something that it must not see.
"""

from collections.abc import Iterator

from fedsim.evaluation.evaluate import EvaluationResult
from fedsim.evaluation.metrics import TprAtFpr
from fedsim.privacy.guarantee import Ceiling

FEWEST_FALSE_POSITIVES = 10
"""The least number of false positives at which the interval of a TPR covers well enough."""


def figure_above_ceiling(result: EvaluationResult, ceiling: Ceiling) -> str:
    """Return a text that names a figure of an attack above a ceiling; empty if there is none.

    The figures compared are the AUC, the balanced accuracy, and every TPR at an FPR with ten false
    positives or more.
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
