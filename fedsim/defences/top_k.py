"""Participants upload the largest entries of their update only.

Aji and Heafield, "Sparse Communication for Distributed Gradient Descent" (EMNLP 2017), section 3;
with error feedback, the default, it is the sparsified SGD with memory of Stich et al. (NeurIPS
2018). Over all trainable parameters together; ties are kept by position.
"""

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
        kept = np.argsort(-np.abs(entries), kind="stable")[: entry_count(entries.size, self.share)]
        return split_like(only(entries, kept), update)
