"""Participants upload randomly chosen entries of their update only.

The random mask of Konečný et al., "Federated Learning: Strategies for Improving Communication
Efficiency" (2016), section 2, drawn anew in each round by each participant. Without error feedback
the entries are divided by the share, so that the update is right on average; with it they are not
(Stich et al., "Sparsified SGD with Memory", NeurIPS 2018).
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.top_k import entry_count, only
from fedsim.defences.transformed_updates import (
    TransformedUpdates,
    Update,
    joined,
    split_like,
)


class RandomK(TransformedUpdates):
    """Keep a random part of the entries of an update, and upload zeros for the others.

    Parameters
    ----------
    share
        How large a part of the entries is uploaded; at least one entry is.
    error_feedback
        Whether a participant adds what it left out to its next update.
    """

    def __init__(
        self, share: Annotated[float, Field(gt=0, le=1)], error_feedback: bool = False
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        self.share = share
        self.error_feedback = error_feedback

    def in_words(self) -> str:
        """Return what it does."""
        rest = "; they add the rest to the next one" if self.error_feedback else ""
        return f"participants upload a random {100 * self.share:g} % of an update{rest}"

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with zeros for all but the entries that were drawn."""
        entries = joined(update)
        count = entry_count(entries.size, self.share)
        kept = generator.choice(entries.size, count, replace=False, shuffle=False)
        scale = 1.0 if self.error_feedback else entries.size / count
        return split_like(scale * only(entries, kept), update)
