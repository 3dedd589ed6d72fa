"""A data set: records with ids and labels, and their conversion to tensors.

A record's id is its row number in the source, so that the ledgers and scores of different runs
refer to the same records.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.arrays import IMAGE_AXES, Arrays, is_integer
from fedsim.data.duplicates import smallest_copies
from fedsim.errors import DataError
from fedsim.files.digests import digest_of_arrays

ROWS_A_CHUNK = 4096
DEFAULT_TEST_FRACTION = 0.2


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
        """
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
        inputs = torch.empty((len(records), *self.input_shape), dtype=self.input_dtype)
        for start in range(0, len(records), ROWS_A_CHUNK):
            stop = start + ROWS_A_CHUNK
            inputs[start:stop] = self.batch(records[start:stop])[0]
        return inputs, self._labels_of(records)

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


def from_arrays(
    name: str,
    arrays: Arrays,
    *,
    test_records: int | None,
    seed: int,
    test_by_user: bool = False,
) -> Dataset:
    """Return `arrays` as a data set, drawing a test split by `seed` if the source has none.

    Parameters
    ----------
    test_records
        The number of records to hold out (default: a fifth), if the source has no test split.
    test_by_user
        Whether all records of a user are held out together, until there are that many records.

    Raises
    ------
    DataError
        If the source has its own test split and `test_records` is given, or too few remain.
    """
    records = len(arrays)
    if arrays.test is not None:
        if test_records is not None:
            raise DataError(
                f"it has its own test split of {int(arrays.test.sum())} records; leave "
                "test_records out"
            )
        test = arrays.test
    else:
        held_out = int(records * DEFAULT_TEST_FRACTION) if test_records is None else test_records
        if not 0 < held_out < records:
            raise DataError(
                f"cannot hold out {held_out} test records of {records}; valid: 1..{records - 1}"
            )
        random = seeds.generator(seed, "test split")
        if test_by_user and arrays.groups is not None:
            test = _users_held_out(arrays.groups, held_out, random)
        else:
            test = np.zeros(records, dtype=np.bool_)
            test[random.permutation(records)[:held_out]] = True
    classes = arrays.num_classes
    assert classes is not None  # noqa: S101  set by Arrays itself
    return Dataset(
        name=name,
        features=arrays.features,
        labels=arrays.labels,
        test=test,
        num_classes=classes,
        mean=arrays.mean,
        std=arrays.std,
        class_names=arrays.class_names,
        groups=arrays.groups,
        group_names=arrays.group_names,
        objective=arrays.objective,
        label_values=arrays.label_values,
        own_split=arrays.test is not None,
    )


def _users_held_out(
    groups: NDArray[np.int64], records: int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the records of random users: the fewest that together have `records` records."""
    users = random.permutation(int(groups.max()) + 1)
    held = np.cumsum(np.bincount(groups)[users])
    if len(users) < 2:
        raise DataError("it has one user only, so none can be held out")
    count = min(int(np.searchsorted(held, records)) + 1, len(users) - 1)
    test: NDArray[np.bool_] = np.isin(groups, users[:count])
    return test
