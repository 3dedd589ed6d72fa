"""Participants upload the largest entries of their update only.

Aji and Heafield, "Sparse Communication for Distributed Gradient Descent" (EMNLP 2017), section 3;
with error feedback, the default, it is the sparsified SGD with memory of Stich et al. (NeurIPS
2018). Over all trainable parameters together; ties are kept by position.
"""

import math
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.sparse_updates import SparseUpdates, entry_count, only
from fedsim.defences.transformed_updates import Update, joined, split_like


class TopK(SparseUpdates):
    """Keep the largest entries of an update by magnitude, and upload zeros for the others."""

    which: ClassVar[str] = "the largest"

    def __init__(
        self, share: Annotated[float, Field(gt=0, le=1)], error_feedback: bool = True
    ) -> None:
        super().__init__(share, error_feedback)

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with zeros for all but the largest entries."""
        entries = joined(update)
        return split_like(only(entries, _largest(np.abs(entries), self.share)), update)

    def position_bytes(self, size: int, count: int) -> int:
        """Return the bytes of the positions, each in as few bits as the largest needs."""
        return math.ceil(count * (size - 1).bit_length() / 8)


def _largest(sizes: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """Return where the largest entries are; of those that equal the least of them, the first."""
    if not sizes.size:
        return np.empty(0, np.int64)
    count = entry_count(sizes.size, share)
    least = np.partition(sizes, sizes.size - count)[sizes.size - count]
    above, equal = np.flatnonzero(sizes > least), np.flatnonzero(sizes == least)
    return np.concatenate([above, equal[: count - above.size]])
