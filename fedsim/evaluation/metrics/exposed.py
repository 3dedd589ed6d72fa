"""Precision among the records with the highest scores.

An average says little about the records that leak most, and a defence should be evaluated on these
(Aerni, Zhang & Tramer, CCS 2024). The tenth of records with the highest scores is chosen without
the truth, so that an attack that guesses reaches one half, and the choice introduces no bias.
"""

import numpy as np

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords
from fedsim.evaluation.scores import require_share


class MostExposed(Metric):
    """The share of members among the records with the highest scores.

    Members and non-members have the same total weight. A group of tied records that does not fit
    is left out completely; if no record remains, the figure is that of guessing.

    Parameters
    ----------
    share
        The share of all records that is evaluated, in (0, 1).

    Raises
    ------
    EvaluationError
        If `share` is not in (0, 1).
    """

    unit = "percent"
    guessing = 0.5

    def __init__(self, share: float = 0.1) -> None:
        require_share(share, "a share")
        self.share = share
        self.name = f"exposed@{share:.12g}"
        self.heading = f"most exposed {100 * share:g} %"
        self.title = f"members among the {100 * share:g} % with the highest scores"
        self.explanation = (
            f"{self.heading}: how many of the {100 * share:g} % of records with the highest scores "
            "are members, both sides weighing alike."
        )

    def point(self, scored: ScoredRecords) -> float:
        """Return the share."""
        once = [np.ones((1, len(side)), np.int32) for side in (scored.members, scored.nonmembers)]
        return float(self.on_resamples(ResampledRecords(scored, *once))[0])

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the share of every resample."""
        scored = resampled.scored
        cuts = np.unique(np.concatenate([scored.members, scored.nonmembers]))
        found, accused = (
            1 - below[:, np.searchsorted(side[order], cuts, side="left")] / len(side)
            for side, order, below in (
                (scored.members, scored.member_order, resampled.members_below),
                (scored.nonmembers, scored.nonmember_order, resampled.nonmembers_below),
            )
        )
        fits = (found + accused) / 2 <= self.share + 1e-12
        first = np.argmax(fits, axis=1)[:, None]  # the lowest threshold that lets no more through
        right = np.take_along_axis(found, first, 1)[:, 0]
        called = right + np.take_along_axis(accused, first, 1)[:, 0]
        there = fits.any(axis=1) & (called > 1e-12)
        share: Floats = np.where(there, right / np.where(there, called, 1), 0.5)
        return share

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return the number of records over which the share is computed."""
        return max(1, int(2 * self.share * min(members, nonmembers)))
