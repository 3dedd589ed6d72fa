"""Participants upload the largest entries of their update only.

Aji and Heafield, "Sparse Communication for Distributed Gradient Descent" (EMNLP 2017), section 3;
with error feedback, the default, it is the sparsified SGD with memory of Stich et al. (NeurIPS
2018). Over all trainable parameters together; ties are kept by position.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.transformed_updates import (
    TransformedUpdates,
    Update,
    joined,
    split_like,
)


class TopK(TransformedUpdates):
    """Keep the largest entries of an update by magnitude, and upload zeros for the others.

    Parameters
    ----------
    share
        How large a part of the entries is uploaded; at least one entry is.
    error_feedback
        Whether a participant adds what it left out to its next update.
    """

    def __init__(
        self, share: Annotated[float, Field(gt=0, le=1)], error_feedback: bool = True
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        self.share = share
        self.error_feedback = error_feedback

    def in_words(self) -> str:
        """Return what it does."""
        rest = "; they add the rest to the next one" if self.error_feedback else ""
        return f"participants upload the largest {100 * self.share:g} % of an update{rest}"

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with zeros for all but the largest entries."""
        entries = joined(update)
        kept = np.argsort(-np.abs(entries), kind="stable")[: entry_count(entries.size, self.share)]
        return split_like(only(entries, kept), update)


def entry_count(size: int, share: float) -> int:
    """Return how many of `size` entries a share of them is, at least one."""
    return max(1, round(share * size))


def only(entries: NDArray[np.float64], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a vector with zeros everywhere but in the places `kept`."""
    sparse = np.zeros_like(entries)
    sparse[kept] = entries[kept]
    return sparse
