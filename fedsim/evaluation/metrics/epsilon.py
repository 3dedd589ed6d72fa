"""A lower bound of the epsilon of differential privacy, from the rates of an attack.

Under (epsilon, delta)-DP, TPR <= e^epsilon FPR + delta, and likewise for TNR and FNR (Kairouz, Oh
& Viswanath 2015). With exact one-sided bounds on both rates (Clopper & Pearson 1934, each at half
of the level) epsilon is, at the confidence, at least

    max( ln((TPR_low - delta) / FPR_high), ln((TNR_low - delta) / FNR_high), 0 )

which is the audit of Jagielski et al., NeurIPS 2020. It assumes that records are in the data
independently of each other, and is not a bound for the epsilon of a whole participant.
"""

from typing import ClassVar

from fedsim.evaluation.metrics.epsilon_bound import Counts, EpsilonBound
from fedsim.evaluation.privacy_bounds import rates_epsilon, upper_proportion


class EpsilonLowerBound(EpsilonBound):
    """Lower bound of a record's epsilon, from the rates of the attack (Jagielski et al. 2020).

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
        """Return the largest bound that the rates at any threshold imply."""
        fnr_high = upper_proportion(members - found, members, alpha / 2)
        fpr_high = upper_proportion(accused, nonmembers, alpha / 2)
        return float(rates_epsilon(fpr_high, fnr_high, self.delta).max())
