"""Participants upload few bits an entry.

From 2 bits on it is QSGD (Alistarh et al., NeurIPS 2017, section 3.1) with the largest magnitude of
a parameter's update as its scale: the nearest two of ``2^(bits-1) - 1`` levels on either side of 0,
drawn so that an entry is right on average. One bit is the sign times the mean magnitude
(Karimireddy et al., ICML 2019, the compressor of EF-signSGD), which needs error feedback to learn.
"""

import math
from typing import Annotated

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from pydantic import Field

from fedsim.defences.transformed_updates import TransformedUpdates, Update
from fedsim.transport.lazy_arrays import record_byte_count

_MOST_BITS = 16


class QuantizedUpdates(TransformedUpdates):
    """Round every entry of an update to one of a few levels.

    Parameters
    ----------
    bits
        How many bits an entry has; each parameter has a scale of its own beside them.
    error_feedback
        Whether a participant adds what rounding left out to its next update.
    """

    def __init__(
        self, bits: Annotated[int, Field(ge=1, le=_MOST_BITS)] = 8, error_feedback: bool = True
    ) -> None:
        if not 1 <= bits <= _MOST_BITS:
            raise ValueError(f"bits must be between 1 and {_MOST_BITS}, not {bits}")
        self.bits = bits
        self.error_feedback = error_feedback

    def in_words(self) -> str:
        """Return what it does."""
        width = "1 bit" if self.bits == 1 else f"{self.bits} bits"
        rest = "; they add what rounding left out to the next one" if self.error_feedback else ""
        return f"participants upload {width} an entry of an update{rest}"

    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return the update with its entries on the levels."""
        if self.bits == 1:
            return {n: np.where(u < 0, -1.0, 1.0) * _mean_size(u) for n, u in update.items()}
        levels = 2 ** (self.bits - 1) - 1
        return {name: _rounded(values, levels, generator) for name, values in update.items()}

    def upload_bytes(self, upload: ArrayRecord) -> int:
        """Return the bytes of the levels, of a scale a parameter, and of what is sent whole."""
        names = self.trainable_in(upload)
        rounded = [array for name, array in upload.items() if name in names]
        whole = ArrayRecord({name: array for name, array in upload.items() if name not in names})
        bits = self.bits * sum(math.prod(array.shape) for array in rounded)
        scales = sum(np.dtype(array.dtype).itemsize for array in rounded)
        return record_byte_count(whole) + math.ceil(bits / 8) + scales


def _mean_size(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).mean()) if values.size else 0.0


def _rounded(
    values: NDArray[np.float64], levels: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return values rounded at random to multiples of the largest magnitude over `levels`."""
    step = float(np.abs(values).max(initial=0.0)) / levels
    if step == 0:
        return np.zeros_like(values)
    found: NDArray[np.float64] = step * np.floor(values / step + generator.random(values.shape))
    return found
