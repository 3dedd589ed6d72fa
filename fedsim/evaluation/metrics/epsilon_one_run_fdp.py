"""A lower bound of epsilon from one run, for mechanisms with a Gaussian tradeoff.

Mahloujifar, Melis and Chaudhuri, *Auditing f-Differential Privacy in One Run*, 2024 (arXiv
2410.22235). It uses the guesses of `epsilon-one-run` and is tighter, because it compares them with
a whole tradeoff curve.
"""

from collections.abc import Callable
from typing import ClassVar

from fedsim.evaluation.metrics.epsilon_one_run import EpsilonOneRun
from fedsim.evaluation.privacy_bounds import fdp_one_run_epsilon


class EpsilonOneRunFdp(EpsilonOneRun):
    """Lower bound of epsilon from one run of a Gaussian mechanism (Mahloujifar et al. 2024).

    Parameters
    ----------
    delta
        The delta of the guarantee, in (0, 1).
    """

    prefix: ClassVar[str] = "epsilon-one-run-fdp"
    kind: ClassVar[str] = "one run, f-DP"
    takes_no_delta: ClassVar[bool] = False
    largest: ClassVar[Callable[..., float]] = staticmethod(fdp_one_run_epsilon)
