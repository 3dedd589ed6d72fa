"""Tied scores: the order of tied records in a curve is arbitrary."""

import numpy as np
from numpy.typing import NDArray

from fedsim.progress import Watcher

REPORTED_SHARE = 0.01
"""The share of tied records above which it is reported."""


def count_ties(scores: NDArray[np.float64]) -> int:
    """Return how many scores are the same as another one."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def report_ties(name: str, scores: NDArray[np.float64], watcher: Watcher) -> None:
    """Say how many scores are tied, where they are more than a few."""
    count = count_ties(scores)
    if count > REPORTED_SHARE * len(scores):
        watcher.say(
            f"{name}: {count:,} of {len(scores):,} records have a score that another record has, "
            "too; nothing separates them"
        )
