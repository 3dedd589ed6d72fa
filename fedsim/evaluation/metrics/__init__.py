"""The metrics that fedsim has itself, one per file; `fedsim.evaluation.metric` says what one is.

A record is classified as a member when its score is *at least* the threshold. Nothing here knows
whose scores these are, and nothing draws at random: intervals live in
`fedsim.evaluation.intervals`.
"""

from fedsim.evaluation.metrics.accuracy import Accuracy, balanced_accuracy
from fedsim.evaluation.metrics.auc import Auc, auc
from fedsim.evaluation.metrics.calibrated import CalibratedFpr, CalibratedTpr
from fedsim.evaluation.metrics.epsilon import EpsilonLowerBound
from fedsim.evaluation.metrics.epsilon_gdp import EpsilonGdp
from fedsim.evaluation.metrics.epsilon_one_run import EpsilonOneRun
from fedsim.evaluation.metrics.epsilon_one_run_fdp import EpsilonOneRunFdp
from fedsim.evaluation.metrics.exposed import MostExposed
from fedsim.evaluation.metrics.precision import PrecisionAtPrior
from fedsim.evaluation.metrics.tpr import TprAtFpr, tpr_at_fpr

__all__ = [
    "Accuracy",
    "Auc",
    "CalibratedFpr",
    "CalibratedTpr",
    "EpsilonGdp",
    "EpsilonLowerBound",
    "EpsilonOneRun",
    "EpsilonOneRunFdp",
    "MostExposed",
    "PrecisionAtPrior",
    "TprAtFpr",
    "auc",
    "balanced_accuracy",
    "tpr_at_fpr",
]
