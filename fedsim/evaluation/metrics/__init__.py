"""fedsim's own metrics, one per file; `fedsim.evaluation.metric` has their contract.

A record is classified as a member if its score is *at least* the threshold. Metrics do not depend
on the attack or the victim, and draw no random numbers: `fedsim.evaluation.intervals` computes
intervals.
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
