"""Evaluation of attacks: joining scores to the truth, metrics, intervals and comparisons."""

from fedsim.evaluation.comparison import Comparison, Difference, compare
from fedsim.evaluation.estimates import Estimate
from fedsim.evaluation.evaluate import EvaluationResult, evaluate_attack, mean_evaluation_result
from fedsim.evaluation.metric import Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import EvaluationError, Scores, Truth

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "EvaluationError",
    "EvaluationResult",
    "Metric",
    "ResampledRecords",
    "ScoredRecords",
    "Scores",
    "Truth",
    "compare",
    "evaluate_attack",
    "mean_evaluation_result",
]
