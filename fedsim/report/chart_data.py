"""The data of a page's charts as plain records. Rates are fractions in 0..1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.evaluation.curves import ClassAccuracy

Numbers = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class UtilityPoint:
    """The utility of the federation's model after a round; None where it was not measured.

    `train` and `test` are of the figure that the results' `utility_figure` describes.
    """

    round: int
    train: float | None = None
    test: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None


@dataclass(frozen=True)
class RocTrace:
    """One adversary's ROC in one attack; `fpr` rises (see `curves.mean_roc`)."""

    adversary: str
    attack: str
    fpr: Numbers
    tpr: Numbers
    auc: float
    baseline: bool = False


@dataclass(frozen=True)
class CeilingTrace:
    """The ceiling that a guarantee of `epsilon` puts on an adversary's ROCs."""

    adversary: str
    fpr: Numbers
    tpr: Numbers
    epsilon: float


@dataclass(frozen=True)
class ScoreHistogram:
    """Shares of members and of non-members in each bin (see `curves.score_histogram`).

    `about` names the victim where the adversary has others, too, as in `SignalCourse`, `ByClass`.
    """

    adversary: str
    attack: str
    edges: Numbers
    members: Numbers
    nonmembers: Numbers
    baseline: bool = False
    about: str = ""


@dataclass(frozen=True)
class SignalCourse:
    """A signal over the observed rounds, such as the gradient norm.

    `members` and `nonmembers` are (rounds, 3): lower quartile, median, upper quartile (see
    `curves.quartiles`).
    """

    adversary: str
    quantity: str
    rounds: Numbers
    members: NDArray[np.float64]
    nonmembers: NDArray[np.float64]
    about: str = ""


@dataclass(frozen=True)
class ByClass:
    """An attack's accuracy on the records of each class."""

    adversary: str
    attack: str
    classes: Sequence[ClassAccuracy]
    about: str = ""


@dataclass(frozen=True)
class AucByRound:
    """An attack's AUC with its interval, by the last observed round that it was given.

    Attributes
    ----------
    rounds
        Rising.
    auc, low, high
        One for each of `rounds`.
    alone
        Whether the attack was given that round only, without earlier ones.
    """

    adversary: str
    attack: str
    rounds: Sequence[int]
    auc: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    alone: bool = False
