"""Batches of several participants at once, and the sums over them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedsim.data import Dataset
from fedsim.training.sgd_loop import Utility
from fedsim.training.trainer import RecordIds

ROUND_SIZE = 4  # records; a last batch is filled up to a multiple of it


def filled_size(records: int, batch_size: int) -> int:
    """Return a participant's number of records with its last batch filled up.

    >>> filled_size(20, 100), filled_size(117, 100), filled_size(99, 100), filled_size(19, 10)
    (20, 120, 100, 20)
    """
    whole, rest = divmod(records, batch_size)
    return whole * batch_size + min(-(-rest // ROUND_SIZE) * ROUND_SIZE, batch_size)


@dataclass(frozen=True)
class StackedBatch:
    """A batch of each participant: inputs (members, records, ...), labels (members, records).

    `counts`: records that weigh something, (members, records, 1), one or zero.
    """

    inputs: Tensor
    labels: Tensor
    counts: Tensor


def stacked_batches(
    dataset: Dataset, records: Sequence[RecordIds], batch_size: int
) -> Iterator[StackedBatch]:
    """Yield the batches of participants that have the same `filled_size`."""
    members, total = len(records), filled_size(len(records[0]), batch_size)
    sizes = np.array([len(own) for own in records])
    filled = (own if len(own) == total else np.resize(own, total) for own in records)
    ids: NDArray[np.int64] = np.stack(list(filled))
    for start in range(0, total, batch_size):
        chosen = ids[:, start : start + batch_size]
        inputs, labels = dataset.batch(chosen.reshape(-1))
        places = np.arange(start, start + chosen.shape[1])
        counted = torch.from_numpy((places < sizes[:, None]).astype(np.float32))
        counts = counted.unsqueeze(2).to(inputs.device)
        shaped = inputs.view(*chosen.shape, *inputs.shape[1:])
        yield StackedBatch(shaped, labels.view(members, -1), counts)


@dataclass(frozen=True)
class StackedSums:
    """Sums over batches, one per participant: of the losses in nats, and of what was right."""

    losses: Tensor
    right: Tensor

    @classmethod
    def of(cls, members: int, device: torch.device) -> "StackedSums":
        """Return sums of nothing yet, for this many participants."""
        return cls(torch.zeros(members, device=device), torch.zeros(members, device=device))

    def add(self, outputs: Tensor, batch: StackedBatch) -> Tensor:
        """Count a batch, and return the derivative of each participant's mean loss."""
        labels = batch.labels.unsqueeze(2)
        likely = torch.log_softmax(outputs, 2)
        self.losses.sub_((likely.gather(2, labels) * batch.counts).sum((1, 2)))
        right = outputs.argmax(2, keepdim=True) == labels
        self.right.add_((right * batch.counts).sum((1, 2)))
        less = torch.full((1, 1, 1), -1.0, device=labels.device).expand_as(labels)
        delta = likely.exp_().scatter_add_(2, labels, less)
        return delta.mul_(batch.counts / batch.counts.sum(1, keepdim=True))

    def utilities(self, records: Sequence[int]) -> list[Utility]:
        """Return the means over the records."""
        figures = zip(self.losses.tolist(), self.right.tolist(), records, strict=True)
        return [Utility(loss / count, right / count, count) for loss, right, count in figures]
