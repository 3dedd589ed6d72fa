"""The epsilon that an attack rules out: a lower bound on what differential privacy could promise.

Under (epsilon, delta)-DP, TPR <= e^epsilon FPR + delta, and the same of TNR and FNR (Kairouz, Oh
& Viswanath 2015). With exact one-sided bounds on both rates (Clopper & Pearson 1934, each at half
of the level) epsilon is, at the confidence, at least

    max( ln((TPR_low - delta) / FPR_high), ln((TNR_low - delta) / FNR_high), 0 )

which is the audit of Jagielski et al., NeurIPS 2020. It holds where records are in the data
independently of each other; it says nothing of the epsilon of a whole participant.
"""

from typing import ClassVar

from fedsim.evaluation.metrics.epsilon_bound import Counts, EpsilonBound
from fedsim.evaluation.privacy_bounds import rates_epsilon, upper_proportion


class EpsilonLowerBound(EpsilonBound):
    """The epsilon of a record-level guarantee that the attack contradicts (Jagielski et al. 2020).

    Parameters
    ----------
    delta
        The delta of the guarantee, in [0, 1).
    """

    prefix: ClassVar[str] = "epsilon"
    kind: ClassVar[str] = ""
    takes_no_delta: ClassVar[bool] = True

    def bound(
        self, found: Counts, accused: Counts, members: int, nonmembers: int, alpha: float
    ) -> float:
        """Return the bound by both rates."""
        fnr_high = upper_proportion(members - found, members, alpha / 2)
        fpr_high = upper_proportion(accused, nonmembers, alpha / 2)
        return float(rates_epsilon(fpr_high, fnr_high, self.delta).max())
