"""Features of several snapshots as the attack network reads them: stacked, then standardised.

What a value means depends on its spread among the records whose membership is known, so every
column is standardised by the records that a network is trained on, and by those only. The two
factors of the gradient are scaled but not centred: their product stays a gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.features import SnapshotFeatures
from fedsim.errors import SnapshotError

LAST_OUTPUT = "logits"
"""The name of the last layer's output among `Inputs.outputs`."""

_SMALLEST_NORM = 1e-30
_FARTHEST = 5.0  # standard deviations; what lies farther out is moved there


@dataclass(frozen=True)
class Inputs:
    """What the network reads of N records on T snapshots, standardised.

    Attributes
    ----------
    scalars : (T, N, S)
    losses : (T, N, 1)
    hidden : (T, N, H)
    deltas : (T, N, C)
    outputs
        Outputs (T, N, D) by layer; the last layer's logits are among them.
    labels : (1, N, C)
        One-hot.
    """

    scalars: Tensor
    losses: Tensor
    hidden: Tensor
    deltas: Tensor
    outputs: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return self.scalars.shape[1]

    def take(self, index: Tensor) -> "Inputs":
        """Return the records at these positions."""
        return Inputs(
            self.scalars[:, index],
            self.losses[:, index],
            self.hidden[:, index],
            self.deltas[:, index],
            {name: values[:, index] for name, values in self.outputs.items()},
            self.labels[:, index],
        )


def stack(snapshots: Sequence[SnapshotFeatures]) -> Inputs:
    """Return the features of the same records on T snapshots as one `Inputs`, as they are.

    Raises
    ------
    SnapshotError
        If there is no snapshot, or the snapshots disagree on the records or their labels.
    """
    if not snapshots:
        raise SnapshotError("an attack needs the features of at least one snapshot")
    first = snapshots[0]
    for number, other in enumerate(snapshots):
        if not np.array_equal(other.records, first.records):
            raise SnapshotError(f"snapshots 0 and {number} hold features of different records")
        if not np.array_equal(other.labels, first.labels):
            raise SnapshotError(
                f"snapshots 0 and {number} give different labels to the same records"
            )
    return Inputs(
        scalars=_stacked([scalar_columns(features) for features in snapshots]),
        losses=_stacked([features.losses[:, None] for features in snapshots]),
        hidden=_stacked([features.hidden for features in snapshots]),
        deltas=_stacked([features.deltas for features in snapshots]),
        outputs={
            LAST_OUTPUT: _stacked([features.logits for features in snapshots]),
            **{
                name: _stacked([features.outputs[name] for features in snapshots])
                for name in first.outputs
            },
        },
        labels=F.one_hot(torch.from_numpy(first.labels), first.logits.shape[1]).float()[None],
    )


def scalar_columns(features: SnapshotFeatures) -> NDArray[np.float32]:
    """Return the scalars (N, 6) and the log gradient norm of every layer, side by side."""
    norms = np.log(np.maximum(features.gradient_norms, _SMALLEST_NORM))
    return np.concatenate([features.scalars, norms], axis=1)


def _stacked(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


@dataclass(frozen=True)
class Standardiser:
    """Columns' means and scales of a set of records; (T, 1, width) each."""

    means: Inputs
    scales: Inputs

    @classmethod
    def fit(cls, inputs: Inputs) -> "Standardiser":
        """Take the means and scales of these records."""
        none, one = torch.zeros(1), torch.ones(1)
        means = Inputs(
            scalars=_mean(inputs.scalars),
            losses=_mean(inputs.losses),
            hidden=none,
            deltas=none,
            outputs={name: _mean(values) for name, values in inputs.outputs.items()},
            labels=none,
        )
        scales = Inputs(
            scalars=_deviation(inputs.scalars),
            losses=_deviation(inputs.losses),
            hidden=_root_mean_square(inputs.hidden),
            deltas=_root_mean_square(inputs.deltas),
            outputs={name: _deviation(values) for name, values in inputs.outputs.items()},
            labels=one,
        )
        return cls(means, scales)

    def apply(self, inputs: Inputs) -> Inputs:
        """Return the records' standardised columns."""
        means, scales = self.means, self.scales

        def scaled(values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
            return ((values - mean) / scale).clamp(-_FARTHEST, _FARTHEST)

        return Inputs(
            scalars=scaled(inputs.scalars, means.scalars, scales.scalars),
            losses=scaled(inputs.losses, means.losses, scales.losses),
            hidden=inputs.hidden / scales.hidden,
            deltas=inputs.deltas / scales.deltas,
            outputs={
                name: scaled(values, means.outputs[name], scales.outputs[name])
                for name, values in inputs.outputs.items()
            },
            labels=inputs.labels,
        )


def _mean(values: Tensor) -> Tensor:
    return values.mean(1, keepdim=True)


def _deviation(values: Tensor) -> Tensor:
    """Return the standard deviation of every column; 1 for one that does not vary."""
    found = values.std(1, correction=0, keepdim=True)
    return torch.where(found > 0, found, 1.0)


def _root_mean_square(values: Tensor) -> Tensor:
    """Return one scale a snapshot for all columns together, (T, 1, 1)."""
    found = values.square().mean((1, 2), keepdim=True).sqrt()
    return torch.where(found > 0, found, 1.0)
