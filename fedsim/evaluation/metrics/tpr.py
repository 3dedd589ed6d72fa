"""The true positive rate at a fixed false positive rate (Carlini et al., S&P 2022)."""

from collections.abc import Mapping

import numpy as np

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import EvaluationError


def false_positive_budget(fpr: float, nonmembers: int) -> int:
    """Return how many of `nonmembers` may be called members at a rate of at most `fpr`.

    >>> false_positive_budget(0.01, 1000), false_positive_budget(0.001, 1500)
    (10, 1)
    """
    # 0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: round before flooring.
    return int(np.floor(round(fpr * nonmembers, 6)))


def tpr_at_fpr(members: Floats, nonmembers: Floats, fpr: float) -> tuple[float, int]:
    """Return the largest TPR whose FPR is *at most* `fpr`, and the false positives behind it.

    Never interpolated between points, and conservative on ties: a tied block of non-members that
    does not fit into the budget is left out whole, and the members tied with it are left out too.
    Where scores tie there are fewer false positives than the budget allows.

    >>> members, nonmembers = np.array([9.0, 5.0, 5.0, 1.0]), np.array([5.0, 4.0, 3.0, 2.0])
    >>> tpr_at_fpr(members, nonmembers, 0.25)
    (0.75, 1)
    >>> tpr_at_fpr(members, np.array([5.0, 5.0, 3.0, 2.0]), 0.25)
    (0.25, 0)
    """
    budget = false_positive_budget(fpr, len(nonmembers))
    if budget >= len(nonmembers):
        return 1.0, len(nonmembers)
    # The score that must not be reached: the first non-member that the budget cannot pay for.
    barrier = np.partition(nonmembers, len(nonmembers) - budget - 1)[len(nonmembers) - budget - 1]
    return float((members > barrier).mean()), int((nonmembers > barrier).sum())


def refusal(fpr: float, nonmembers: int) -> str | None:
    """Return why a TPR at `fpr` may not be reported for so few non-members, or None if it may.

    Below 1/FPR non-members the budget is not even one false positive, and the figure is noise.

    >>> refusal(0.001, 500)
    'needs >= 1,000 non-members, has 500'
    >>> refusal(0.001, 1000) is None
    True
    """
    needed = int(np.ceil(round(1 / fpr, 6)))
    return None if nonmembers >= needed else f"needs >= {needed:,} non-members, has {nonmembers:,}"


class TprAtFpr(Metric):
    """The share of members found while at most a share of non-members is accused.

    Parameters
    ----------
    fpr
        That share, in (0, 1).

    Raises
    ------
    EvaluationError
        If it is not.
    """

    unit = "percent"

    def __init__(self, fpr: float) -> None:
        if not 0 < fpr < 1:
            raise EvaluationError(f"an fpr of {fpr} was asked for; use 0 < fpr < 1")
        self.fpr = fpr
        self.percent = f"{100 * fpr:g} %"
        self.name = f"tpr@{fpr:.12g}"
        self.heading = f"TPR @ {self.percent}"
        self.title = f"TPR at {self.percent} FPR"
        self.explanation = (
            f"{self.heading}: the share of members found while at most {self.percent} of "
            "non-members are accused."
        )
        self.guessing = fpr

    def point(self, scored: ScoredRecords) -> float:
        """Return the TPR."""
        return tpr_at_fpr(scored.members, scored.nonmembers, self.fpr)[0]

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the TPR of every resample."""
        scored, below = resampled.scored, resampled.nonmembers_below
        n_members, n_nonmembers = len(scored.members), len(scored.nonmembers)
        budget = false_positive_budget(self.fpr, n_nonmembers)
        # The barrier of `tpr_at_fpr`: the highest score at or above which the weights of
        # non-members exceed the budget.
        barrier = (below[:, 1:] < n_nonmembers - budget).sum(axis=1)
        ordered = scored.nonmembers[scored.nonmember_order]
        rising = scored.members[scored.member_order]
        cut = np.searchsorted(rising, ordered[barrier], side="right")
        found: Floats = 1 - resampled.members_below[np.arange(len(cut)), cut] / n_members
        return found

    def refusal(self, members: int, nonmembers: int) -> str | None:
        """Return why there are too few non-members, or None."""
        return refusal(self.fpr, nonmembers)

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return the number of members: the rate is a share of them."""
        return members

    def details(self, scored: ScoredRecords) -> Mapping[str, float]:
        """Return how many false positives stand behind the TPR."""
        behind = tpr_at_fpr(scored.members, scored.nonmembers, self.fpr)[1]
        return {"false_positives": float(behind)}
