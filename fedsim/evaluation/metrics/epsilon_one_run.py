"""Epsilon from below of one run in which each record is a member with probability one half.

Steinke, Nasr and Jagielski, *Privacy Auditing with One (1) Training Run*, NeurIPS 2023. The records
at or above the threshold are guessed to be members, on the others the attack abstains. All records
are in one run: the bound does not need them to be independent given the model, as `epsilon` does.

Membership must have been a fair coin for each record: as of canaries, and nearly so of as many
members as non-members drawn from one pool. Where one side has more records, its counts are scaled
down to the other's, to the attack's disadvantage where they are no whole numbers.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from fedsim.evaluation.metrics.epsilon_bound import Counts, EpsilonBound
from fedsim.evaluation.privacy_bounds import one_run_epsilon


class EpsilonOneRun(EpsilonBound):
    """The epsilon that the attack contradicts in one run (Steinke et al. 2023).

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
        """Return the largest epsilon that the guesses at any threshold contradict."""
        each = min(members, nonmembers)
        right = np.floor(found * (each / members) + 1e-9).astype(np.int64)
        wrong = np.ceil(accused * (each / nonmembers) - 1e-9).astype(np.int64)
        best = 0.0
        # The purest guesses first, so that most thresholds are ruled out by one look.
        for k in np.argsort(wrong / np.maximum(right + wrong, 1), kind="stable"):
            guesses = int(right[k] + wrong[k])
            if guesses and right[k] > wrong[k]:
                best = self.largest(2 * each, guesses, int(right[k]), alpha, self.delta, best)
        return best
