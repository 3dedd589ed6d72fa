"""Records on a device other than the CPU: all at once where they fit, else batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedsim import devices
from fedsim.data.arrays import is_integer

SHARE = 0.25
"""Of a device's free memory, the most that records may take for good."""
_CHUNK = 2**26  # bytes that are converted at a time

Batch = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]]
Affine = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class PlacedRecords:
    """The tensors of records on a device, the same values as on the CPU.

    Attributes
    ----------
    device
        Where batches are wanted.
    from_memory
        What makes a batch on the CPU.
    stored
        Features and labels on the device; None where they stay in memory.
    affine
        Factor and offset of stored features, on the device.
    """

    device: torch.device
    from_memory: Batch
    stored: tuple[Tensor, Tensor] | None
    affine: Affine | None

    @classmethod
    def of(
        cls,
        features: NDArray[np.generic],
        labels: NDArray[np.generic],
        affine: Affine | None,
        from_memory: Batch,
        device: torch.device,
    ) -> "PlacedRecords":
        """Put features (N, ...) and labels (N, ...) on a device if they fit there."""
        kept = torch.uint8 if features.dtype == np.uint8 and affine else None
        kind = kept or (torch.int64 if is_integer(features) else torch.float32)
        size = features.size * kind.itemsize + labels.nbytes
        free = devices.free_memory(device)
        stored = None
        if free is None or size <= SHARE * free:
            on_device = torch.empty(features.shape, dtype=kind, device=device)
            rows = max(1, _CHUNK // max(1, features[:1].nbytes))
            for start in range(0, len(features), rows):
                part = torch.from_numpy(np.array(features[start : start + rows]))
                on_device[start : start + rows] = part.to(kind).to(device)
            stored = on_device, torch.from_numpy(np.array(labels)).to(device)
        placed = None if affine is None else (affine[0].to(device), affine[1].to(device))
        return cls(device, from_memory, stored, placed)

    def batch(self, records: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of records by their ids, on the device."""
        if self.stored is None:
            return self._moved(*self.from_memory(records))
        index = torch.from_numpy(np.asarray(records, dtype=np.int64)).to(self.device)
        inputs, labels = (values.index_select(0, index) for values in self.stored)
        if inputs.dtype != torch.int64:
            inputs = inputs.float()
            if self.affine is not None:
                inputs.mul_(self.affine[0]).add_(self.affine[1])
        return inputs, labels

    def _moved(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.device.type == "cuda":  # from pinned memory a copy need not be waited for
            inputs, labels = inputs.pin_memory(), labels.pin_memory()
        return (
            inputs.to(self.device, non_blocking=True),
            labels.to(self.device, non_blocking=True),
        )
