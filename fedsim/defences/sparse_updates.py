"""The base class of defences in which participants upload some entries of their update.

An encoded upload consists of the values of these entries, and of their positions.
"""

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.transformed_updates import TransformedUpdates
from fedsim.transport.lazy_arrays import record_byte_count


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

    def upload_bytes(self, upload: ArrayRecord) -> int:
        """Return the bytes of the kept entries, of their positions, and of what is sent whole."""
        names = self.trainable_in(upload)
        moved = ArrayRecord({name: array for name, array in upload.items() if name in names})
        size = sum(math.prod(array.shape) for array in moved.values())
        if not size:
            return record_byte_count(upload)
        dense, count = record_byte_count(moved), entry_count(size, self.share)
        # Entries of several types are counted at their mean.
        kept = math.ceil(dense * count / size) + self.position_bytes(size, count)
        return record_byte_count(upload) - dense + min(kept, dense)

    @abstractmethod
    def position_bytes(self, size: int, count: int) -> int:
        """Return how many bytes it takes to say which `count` of `size` entries are kept."""


def entry_count(size: int, share: float) -> int:
    """Return how many of `size` entries a share of them is, at least one."""
    return max(1, round(share * size))


def only(entries: NDArray[np.float64], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a vector with zeros everywhere but in the places `kept`."""
    sparse = np.zeros_like(entries)
    sparse[kept] = entries[kept]
    return sparse
