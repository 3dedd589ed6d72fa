"""TPR and FPR at a threshold that is fixed in advance on auxiliary records, for a low FPR.

The metric ``tpr`` reads its threshold off the ROC of the evaluation records, which an attacker
cannot do without knowing their membership. An attacker can choose the threshold on the non-members
that it knows. The FPR on other records then differs from the intended rate, so both rates are
reported. Re-evaluations of LiRA demand thresholds that are calibrated in this way.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords, weight_of
from fedsim.evaluation.metrics.tpr import false_positive_budget
from fedsim.evaluation.scores import require_share


def calibrated_threshold(nonmembers: Floats, fpr: float) -> float:
    """Return the lowest threshold that at most a share `fpr` of auxiliary non-members reaches.

    >>> calibrated_threshold(np.arange(100.0), 0.02) > 97
    True
    """
    budget = false_positive_budget(fpr, len(nonmembers))
    if budget >= len(nonmembers):
        return float(nonmembers.min())
    barrier = np.partition(nonmembers, len(nonmembers) - budget - 1)[len(nonmembers) - budget - 1]
    return float(np.nextafter(barrier, np.inf))


class CalibratedTpr(Metric):
    """The share of members found at a threshold fixed on auxiliary non-members.

    Parameters
    ----------
    fpr
        The share of auxiliary non-members at or above the threshold, in (0, 1).

    Raises
    ------
    EvaluationError
        If `fpr` is not in (0, 1).
    """

    unit = "percent"
    side: Literal["members", "nonmembers"] = "members"
    word = "TPR"
    prefix = "calibrated-tpr"

    def __init__(self, fpr: float) -> None:
        require_share(fpr, "an fpr")
        self.fpr = fpr
        percent = f"{100 * fpr:g} %"
        self.name = f"{self.prefix}@{fpr:.12g}"
        self.heading = f"{self.word}, fixed at {percent}"
        self.title = f"{self.word} at the threshold of {percent} FPR on known records"
        self.explanation = (
            f"{self.heading}: at the threshold that at most {percent} of the known non-members "
            "reach, chosen before."
        )

    def point(self, scored: ScoredRecords) -> float:
        """Return the rate."""
        return float(self._accused(scored).mean())

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the rate of every resample."""
        accused = self._accused(resampled.scored)
        rates: Floats = weight_of(getattr(resampled, self.side), accused) / len(accused)
        return rates

    def proportion(self, scored: ScoredRecords) -> tuple[int, int] | None:
        """Return the number of records at or above the threshold, and the number of records."""
        accused = self._accused(scored)
        return int(accused.sum()), len(accused)

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return the number of records over which the rate is computed."""
        return members if self.side == "members" else nonmembers

    def _accused(self, scored: ScoredRecords) -> NDArray[np.bool_]:
        cut = scored.threshold
        if scored.auxiliary is not None:
            cut = calibrated_threshold(scored.auxiliary[1], self.fpr)
        accused: NDArray[np.bool_] = getattr(scored, self.side) >= cut
        return accused


class CalibratedFpr(CalibratedTpr):
    """The share of evaluation non-members at or above the threshold of `calibrated-tpr`.

    Parameters
    ----------
    fpr
        The share of auxiliary non-members at or above the threshold, in (0, 1).
    """

    side = "nonmembers"
    word = "FPR"
    prefix = "calibrated-fpr"
    higher_is = "worse"
