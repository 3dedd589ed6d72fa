"""Judging attacks: scores joined to truth by record id, metrics, intervals, comparisons."""

from fedsim.evaluation.comparison import Comparison, Difference, compare
from fedsim.evaluation.evaluate import Verdict, judge, mean_verdict
from fedsim.evaluation.intervals import Estimate
from fedsim.evaluation.scores import EvaluationError, Scores, Truth

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "EvaluationError",
    "Scores",
    "Truth",
    "Verdict",
    "compare",
    "judge",
    "mean_verdict",
]
