"""A metric."""

import numpy as np

from fedsim import Metric, ScoredRecords


class MedianGap(Metric):
    """How far the median member is above the median non-member, in deviations of the latter."""

    name = "median-gap"
    heading = "median gap"
    guessing = 0.0

    def point(self, scored: ScoredRecords) -> float:
        """Return the gap; 0 where all scores are alike."""
        spread = float(scored.nonmembers.std())
        gap = float(np.median(scored.members) - np.median(scored.nonmembers))
        return gap / spread if spread else 0.0
