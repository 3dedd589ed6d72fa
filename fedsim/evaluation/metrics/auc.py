"""The area under the ROC (Hanley & McNeil 1982)."""

import numpy as np

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords


def auc(members: Floats, nonmembers: Floats) -> float:
    """Return the probability that a member scores above a non-member; a tie counts one half.

    This is the area under the ROC, and Mann-Whitney's U over its maximum (Hanley & McNeil 1982).

    >>> auc(np.array([3.0, 2.0]), np.array([2.0, 1.0]))
    0.875
    """
    ordered = np.sort(nonmembers)
    below = np.searchsorted(ordered, members, side="left")
    not_above = np.searchsorted(ordered, members, side="right")
    return float((below + not_above).mean() / (2 * len(nonmembers)))


class Auc(Metric):
    """How often a member scores above a non-member: the area under the ROC."""

    name = "auc"
    heading = "AUC"
    unit = "area"
    guessing = 0.5

    def point(self, scored: ScoredRecords) -> float:
        """Return the AUC."""
        return auc(scored.members, scored.nonmembers)

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the AUC of every resample: the weighted Mann-Whitney statistic."""
        high, low = resampled.scored.members, resampled.scored.nonmembers
        ordered, below = low[resampled.scored.nonmember_order], resampled.nonmembers_below.T
        # Numbers of non-members below, and of those not above, each member's score.
        first, last = (np.searchsorted(ordered, high, side=side) for side in ("left", "right"))
        beaten = below[first]
        beaten += beaten if np.array_equal(first, last) else below[last]
        area: Floats = np.einsum("ij,ij->j", resampled.members.T, beaten)
        return area / (2 * len(high) * len(low))
