"""A data set: records with ids and labels, and their conversion to tensors.

A record's id is its row number in the source, so that the ledgers and scores of different runs
refer to the same records.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedsim.data.arrays import IMAGE_AXES, is_integer
from fedsim.data.duplicates import smallest_copies
from fedsim.data.placed_records import PlacedRecords
from fedsim.devices import CPU
from fedsim.files.digests import digest_of_arrays

ROWS_A_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records with ids 0..N-1, split into a training pool and test records.

    Attributes
    ----------
    name
        The name in the experiment.
    features, labels
        Features of shape (N, ...) as stored (perhaps memory-mapped), and labels in the form of the
        objective: for classification of shape (N,), 0..`num_classes` - 1 (see `Arrays`).
    test
        Shape (N,): True for test records, False for the pool from which participants get records.
    num_classes
        The number of a model's outputs: classes, regressed values, or tokens of the vocabulary.
    groups, group_names
        Shape (N,): the user of each record, 0..G-1, and the users' names; None if the source has
        no users.
    objective
        The name of the objective that the labels are for, if the source states it; None is
        classification.
    label_values
        The source's names of classes 0..C-1; None if they are these numbers.
    own_split
        Whether the test split is the source's own, rather than drawn at random from its records.
    device
        Where `batch` puts its tensors.
    """

    name: str
    features: NDArray[np.generic]
    labels: NDArray[Any]
    test: NDArray[np.bool_]
    num_classes: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] | None = None
    objective: str | None = None
    label_values: tuple[int | str, ...] | None = None
    own_split: bool = False
    device: torch.device = field(default=CPU)

    def __len__(self) -> int:
        """Return N, the number of records in the pool and the test split together."""
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one record's tensor, (channels, height, width) or (features,)."""
        return self.features.shape[1:]

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of a record's tensor: int64 for integer features such as token ids."""
        return torch.int64 if is_integer(self.features) else torch.float32

    @cached_property
    def pool_records(self) -> NDArray[np.int64]:
        """The ids of the records in the training pool, ascending."""
        return np.flatnonzero(~self.test)

    @cached_property
    def test_records(self) -> NDArray[np.int64]:
        """The ids of the held-out test records, ascending."""
        return np.flatnonzero(self.test)

    @cached_property
    def digest(self) -> str:
        """A digest of all that affects figures: records, split, users, normalisation."""
        facts = [self.num_classes, self.mean, self.std, self.objective, self.groups is not None]
        kept = (
            self.features,
            self.labels,
            self.test,
            *([] if self.groups is None else [self.groups]),
        )
        return digest_of_arrays(*kept, beside=facts)

    @cached_property
    def duplicate_of(self) -> NDArray[np.int64]:
        """Shape (N,): for each record the smallest id with exactly the same features."""
        return smallest_copies(self.features)

    @cached_property
    def duplicate(self) -> NDArray[np.bool_]:
        """Shape (N,): whether any other record has exactly the same features."""
        return np.bincount(self.duplicate_of, minlength=len(self))[self.duplicate_of] > 1

    def batch(self, records: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs and labels of `records`, in their order.

        Returns
        -------
        tuple
            The inputs, of shape ``(len(records), *input_shape)``: normalised float32, or int64 if
            features are integers. And the labels, for classification int64 of (len(records),).
            Both are on `device`.
        """
        if self.device.type != "cpu":
            return self._placed.batch(records)
        if is_integer(self.features):
            tokens = np.asarray(self.features).take(records, axis=0).astype(np.int64, copy=False)
            return torch.from_numpy(tokens), self._labels_of(records)
        # A plain view, because numpy's memmap class takes rows more slowly, and returns memmaps.
        rows = torch.from_numpy(np.asarray(self.features).take(records, axis=0)).float()
        if self.affine is not None:
            scale, shift = self.affine
            rows.mul_(scale).add_(shift)
        return rows, self._labels_of(records)

    def tensors(self, records: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the result of `batch` for many records, without a second copy in memory."""
        shape = (len(records), *self.input_shape)
        inputs = torch.empty(shape, dtype=self.input_dtype, device=self.device)
        for start in range(0, len(records), ROWS_A_CHUNK):
            stop = start + ROWS_A_CHUNK
            inputs[start:stop] = self.batch(records[start:stop])[0]
        return inputs, self._labels_of(records).to(self.device)

    @cached_property
    def _placed(self) -> PlacedRecords:
        return PlacedRecords.of(
            self.features, self.labels, self.affine, self.on(CPU).batch, self.device
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what lies on a device: it is put there anew, where it is needed."""
        return {key: value for key, value in self.__dict__.items() if key != "_placed"}

    def on(self, device: torch.device) -> "Dataset":
        """Return the same records, whose batches are tensors on a device."""
        return self if device == self.device else replace(self, device=device)

    def _labels_of(self, records: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.labels).take(records, axis=0))

    def relabelled(self, labels: NDArray[Any]) -> "Dataset":
        """Return the same records with other labels, (N, ...), as canaries have."""
        return replace(self, labels=labels.reshape(self.labels.shape))

    def only(self, records: NDArray[np.int64]) -> "Dataset":
        """Return these records only, as 0..n-1 in their order, without split or users.

        It is a copy, so that the other records cannot be reached from it.
        """
        return replace(
            self,
            features=np.asarray(self.features).take(records, axis=0),
            labels=np.asarray(self.labels).take(records, axis=0),
            test=np.zeros(len(records), dtype=np.bool_),
            groups=None,
            group_names=None,
            own_split=False,
        )

    @cached_property
    def affine(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Factor and offset with which (x * unit - mean) / std is one pass over stored values."""
        is_intensity = self.features.dtype == np.uint8 and self.features.ndim == IMAGE_AXES
        unit = 1 / 255 if is_intensity else 1.0
        if self.mean is None or self.std is None:
            return (torch.tensor(unit), torch.tensor(0.0)) if is_intensity else None
        per_channel = (-1, *[1] * (self.features.ndim - 2))
        mean, std = torch.tensor(self.mean).double(), torch.tensor(self.std).double()
        scale, shift = unit / std, -mean / std
        return scale.float().view(per_channel), shift.float().view(per_channel)
