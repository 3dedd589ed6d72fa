"""The epsilon that an attack rules out: a lower bound on what differential privacy could promise.

Under (epsilon, delta)-DP, TPR <= e^epsilon FPR + delta, and the same of TNR and FNR (Kairouz, Oh
& Viswanath 2015). With exact one-sided bounds on both rates (Clopper & Pearson 1934, half of 5 %
each) epsilon is, at 95 % confidence, at least

    max( ln((TPR_low - delta) / FPR_high), ln((TNR_low - delta) / FNR_high), 0 )

which is the audit of Jagielski et al., NeurIPS 2020, with one threshold. The threshold is that of
the accuracy, chosen on the auxiliary records: chosen on the evaluation records themselves, the
bound would be above 0 where nothing leaks. It holds where records are in the data independently of
each other; it says nothing of the epsilon of a whole participant.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import EvaluationError

TAIL = 0.025


class EpsilonLowerBound(Metric):
    """The epsilon of a record-level guarantee that the attack contradicts, at 95 % confidence.

    Parameters
    ----------
    delta
        Of the guarantee, in [0, 1).

    Raises
    ------
    EvaluationError
        If it is not.
    """

    guessing = 0.0

    def __init__(self, delta: float = 1e-5) -> None:
        if not 0 <= delta < 1:
            raise EvaluationError(f"a delta of {delta} was asked for; use 0 <= delta < 1")
        self.delta = delta
        self.name = f"epsilon@{delta:.12g}"
        self.heading = "epsilon >="
        self.title = f"lower bound of epsilon at delta {delta:g}"
        self.explanation = (
            f"{self.heading}: no guarantee of (epsilon, {delta:g})-differential privacy for a "
            "record with a smaller epsilon can be true, at 95 % confidence."
        )

    def point(self, scored: ScoredRecords) -> float:
        """Return the bound."""
        found = np.array([(scored.members >= scored.threshold).sum()])
        accused = np.array([(scored.nonmembers >= scored.threshold).sum()])
        return float(self._bound(found, accused, len(scored.members), len(scored.nonmembers))[0])

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the bound of every resample."""
        scored, (found, accused) = resampled.scored, resampled.accused
        members, nonmembers = len(scored.members), len(scored.nonmembers)
        counts = np.rint(found * members), np.rint(accused * nonmembers)
        return self._bound(*counts, members, nonmembers)

    def _bound(
        self, found: NDArray[np.generic], accused: NDArray[np.generic], members: int, others: int
    ) -> Floats:
        tpr_low = 1 - _upper(members - found, members)
        fpr_high = _upper(accused, others)
        with np.errstate(divide="ignore"):
            of_members = np.log(np.maximum(tpr_low - self.delta, 0) / fpr_high)
            of_others = np.log(np.maximum(1 - fpr_high - self.delta, 0) / (1 - tpr_low))
        return np.maximum(np.maximum(of_members, of_others), 0.0)


def _upper(successes: NDArray[np.generic], trials: int) -> Floats:
    """Return the exact upper confidence bound of a proportion, float64."""
    count = np.minimum(successes, trials - 1).astype(np.float64)  # of all, the bound is 1
    bound: Floats = betaincinv(count + 1, trials - count, 1 - TAIL)
    return np.where(np.asarray(successes) == trials, 1.0, bound)
