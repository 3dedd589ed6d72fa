"""A lower bound of epsilon from one run in which each record is a member with probability 1/2.

Steinke, Nasr and Jagielski, *Privacy Auditing with One (1) Training Run*, NeurIPS 2023. The attack
guesses that the records at or above the threshold are members, and abstains on the others. Unlike
`epsilon`, the bound does not assume that records are independent given the model.

The membership of each record must have been drawn with probability 1/2. This holds for canaries,
and approximately for equal numbers of members and non-members from one pool. If one side has more
records, its counts are scaled down to the other's and rounded to the attack's disadvantage.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from fedsim.evaluation.metrics.epsilon_bound import Counts, EpsilonBound
from fedsim.evaluation.privacy_bounds import one_run_epsilon


class EpsilonOneRun(EpsilonBound):
    """Lower bound of a record's epsilon from one run (Steinke et al. 2023).

    Parameters
    ----------
    delta
        The delta of the guarantee, in [0, 1).
    """

    prefix: ClassVar[str] = "epsilon-one-run"
    kind: ClassVar[str] = "one run"
    takes_no_delta: ClassVar[bool] = True
    largest: ClassVar[Callable[..., float]] = staticmethod(one_run_epsilon)

    def bound(
        self, found: Counts, accused: Counts, members: int, nonmembers: int, alpha: float
    ) -> float:
        """Return the largest bound that the guesses at any threshold imply."""
        each = min(members, nonmembers)
        right = np.floor(found * (each / members) + 1e-9).astype(np.int64)
        wrong = np.ceil(accused * (each / nonmembers) - 1e-9).astype(np.int64)
        best = 0.0
        # The guesses with the highest precision first, so that one test rules out most of the rest.
        for k in np.argsort(wrong / np.maximum(right + wrong, 1), kind="stable"):
            guesses = int(right[k] + wrong[k])
            if guesses and right[k] > wrong[k]:
                best = self.largest(2 * each, guesses, int(right[k]), alpha, self.delta, best)
        return best
