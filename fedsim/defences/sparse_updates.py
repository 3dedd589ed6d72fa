"""Participants that upload a part of the entries of their update: what such defences share."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.transformed_updates import TransformedUpdates


class SparseUpdates(TransformedUpdates):
    """Keep a part of the entries of an update, and upload zeros for the others.

    Parameters
    ----------
    share
        How large a part of the entries is uploaded; at least one entry is.
    error_feedback
        Whether a participant adds what it left out to its next update.

    Attributes
    ----------
    which
        Which part it is, in words.
    """

    which: ClassVar[str]

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
        return f"participants upload {self.which} {100 * self.share:g} % of an update{rest}"


def entry_count(size: int, share: float) -> int:
    """Return how many of `size` entries a share of them is, at least one."""
    return max(1, round(share * size))


def only(entries: NDArray[np.float64], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a vector with zeros everywhere but in the places `kept`."""
    sparse = np.zeros_like(entries)
    sparse[kept] = entries[kept]
    return sparse
