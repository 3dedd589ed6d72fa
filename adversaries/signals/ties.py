"""Says how many records an attack cannot tell apart: their order in a curve means nothing."""

import numpy as np
from numpy.typing import NDArray

from fedsim.progress import Watcher

WORTH_A_WORD = 0.01  # of the records


def tied(scores: NDArray[np.float64]) -> int:
    """Return how many scores are the same as another one."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def tell_ties(name: str, scores: NDArray[np.float64], watcher: Watcher) -> None:
    """Say how many scores are tied, where they are more than a few."""
    count = tied(scores)
    if count > WORTH_A_WORD * len(scores):
        watcher.say(
            f"{name}: {count:,} of {len(scores):,} records have a score that another record has, "
            "too; they are not told apart"
        )
