"""Participants upload randomly chosen entries of their update only.

The random mask of Konečný et al., "Federated Learning: Strategies for Improving Communication
Efficiency" (2016), section 2, drawn anew in each round by each participant. Without error feedback
the entries are divided by the share, so that the update is right on average; with it they are not
(Stich et al., "Sparsified SGD with Memory", NeurIPS 2018).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsim.defences.sparse_updates import SparseUpdates, entry_count, only
from fedsim.defences.transformed_updates import Update, joined, split_like

SEED_BYTES = 8


class RandomK(SparseUpdates):
    """Keep a random part of the entries of an update, and upload zeros for the others."""

    which: ClassVar[str] = "a random"

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with zeros for all but the entries that were drawn."""
        entries = joined(update)
        count = entry_count(entries.size, self.share)
        kept = generator.choice(entries.size, count, replace=False, shuffle=False)
        scale = 1.0 if self.error_feedback else entries.size / count
        return split_like(scale * only(entries, kept), update)

    def position_bytes(self, size: int, count: int) -> int:
        """Return the bytes of a seed, from which the server draws the same positions."""
        return SEED_BYTES
