"""Precision at a given prior: how often a record classified as a member is one.

Jayaraman et al., *Revisiting Membership Inference Under Realistic Assumptions*, PoPETs 2021,
section 3: PPV = p TPR / (p TPR + (1 - p) FPR) for a share p of members.
"""

import numpy as np

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import require_share


class PrecisionAtPrior(Metric):
    """The positive predictive value, at the calibrated threshold, for a given share of members.

    If an attack classifies no record as a member, its precision is defined as the prior.

    Parameters
    ----------
    prior
        The share of members among the records that are attacked, in (0, 1).

    Raises
    ------
    EvaluationError
        If `prior` is not in (0, 1).
    """

    unit = "percent"

    def __init__(self, prior: float) -> None:
        require_share(prior, "a prior")
        self.prior = prior
        percent = f"{100 * prior:g} %"
        self.name = f"precision@{prior:.12g}"
        self.heading = f"PPV @ {percent}"
        self.title = f"precision at {percent} members"
        self.explanation = (
            f"{self.heading}: how often a record that is called a member is one, where {percent} "
            "of all records are; at the threshold of the accuracy."
        )
        self.guessing = prior

    def point(self, scored: ScoredRecords) -> float:
        """Return the precision."""
        found = np.array([(scored.members >= scored.threshold).mean()])
        accused = np.array([(scored.nonmembers >= scored.threshold).mean()])
        return float(self._precision(found, accused)[0])

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the precision of every resample."""
        return self._precision(*resampled.accused)

    def _precision(self, found: Floats, accused: Floats) -> Floats:
        rightly, wrongly = self.prior * found, (1 - self.prior) * accused
        called = rightly + wrongly
        return np.where(called > 0, rightly / np.where(called > 0, called, 1.0), self.prior)
