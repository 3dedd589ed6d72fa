"""A lower bound of epsilon for mechanisms with a Gaussian tradeoff, such as DP-SGD.

Nasr et al., *Tight Auditing of Differentially Private Machine Learning*, USENIX Security 2023: from
upper bounds of FPR and FNR follows mu >= Phi^-1(1 - FPR) - Phi^-1(FNR), and from mu the epsilon at
delta (Dong, Roth & Su 2022). The bound is larger than the one from the rates alone, because it
assumes more: for a mechanism with another tradeoff it may be too large.
"""

from typing import ClassVar

import numpy as np

from fedsim.evaluation.metrics.epsilon_bound import Counts, EpsilonBound
from fedsim.evaluation.privacy_bounds import gaussian_epsilon, gdp_mu, upper_proportion


class EpsilonGdp(EpsilonBound):
    """Lower bound of a record's epsilon for a Gaussian mechanism (Nasr et al. 2023).

    Parameters
    ----------
    delta
        The delta of the guarantee, in (0, 1).
    """

    prefix: ClassVar[str] = "epsilon-gdp"
    kind: ClassVar[str] = "GDP"

    def bound(
        self, found: Counts, accused: Counts, members: int, nonmembers: int, alpha: float
    ) -> float:
        """Return the epsilon of the largest mu over the thresholds."""
        fnr_high = upper_proportion(members - found, members, alpha / 2)
        fpr_high = upper_proportion(accused, nonmembers, alpha / 2)
        usable = np.maximum(fnr_high, fpr_high) < 1 - self.delta
        if not usable.any():
            return 0.0
        mu = float(gdp_mu(fpr_high[usable], fnr_high[usable]).max())
        return gaussian_epsilon(mu, self.delta)
