"""Choosing the threshold at or above which a record is classified as a member."""

import numpy as np

from fedsim.evaluation.metric import Floats


def best_threshold(members: Floats, nonmembers: Floats) -> float:
    """Return the threshold of the highest balanced accuracy; call it on calibration scores only.

    Candidates lie halfway between neighbouring scores. If several are equally good, the middle one
    is returned, because either end of a plateau depends on a single record.

    >>> best_threshold(np.array([4.0, 3.0]), np.array([2.0, 1.0]))
    2.5
    """
    levels = np.unique(np.concatenate([members, nonmembers]))
    halfway = levels[:-1] + np.diff(levels) / 2
    # Two adjacent floats have no float between them; then the upper one is the threshold.
    between = np.where(halfway > levels[:-1], halfway, levels[1:])
    candidates = np.concatenate([[levels[0]], between, [np.nextafter(levels[-1], np.inf)]])
    gain = _share_at_least(members, candidates) - _share_at_least(nonmembers, candidates)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(candidates[best[len(best) // 2]])


def _share_at_least(scores: Floats, thresholds: Floats) -> Floats:
    """Return, for each threshold, the share of `scores` at or above it."""
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - below) / len(scores)
