"""Features of several snapshots as the attack network reads them: stacked, not standardised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.gradient_inputs import GradientInputs, RankOne, stacked
from adversaries.inference.log_scalars import log_norms
from adversaries.inference.selected_inputs import SelectedInputs
from fedsim.errors import SnapshotError

LAST_LAYER = "logits"
"""The name of the last layer among `Inputs.outputs` and `Inputs.gradients`."""


@dataclass(frozen=True)
class Inputs:
    """The network's inputs for N records on T snapshots; only chosen features have columns.

    Attributes
    ----------
    scalars : (T, N, S)
    losses : (T, N, 1)
    outputs
        Outputs (T, N, D) by layer; the last layer's logits are among them.
    labels : (1, N, C)
        One-hot where the targets are classes.
    gradients
        Weight gradients by layer.
    reactions : (R, N, S')
        By how much each scalar changed within a round, in R pairs of snapshots.
    """

    scalars: Tensor
    losses: Tensor
    outputs: Mapping[str, Tensor]
    labels: Tensor
    gradients: Mapping[str, GradientInputs]
    reactions: Tensor

    def __len__(self) -> int:
        return self.scalars.shape[-2]

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All tensors, in one order."""
        gradients = (part for of in self.gradients.values() for part in of.parts)
        several = (*self.outputs.values(), self.labels, *gradients, self.reactions)
        return self.scalars, self.losses, *several

    @property
    def device(self) -> torch.device:
        """Where they are, and what reads them computes."""
        return self.scalars.device

    def on(self, device: torch.device) -> "Inputs":
        """Return the same on a device."""
        return self.replaced(part.to(device) for part in self.parts)

    def replaced(self, parts: Iterable[Tensor]) -> "Inputs":
        """Return other tensors in the places of these."""
        following = iter(parts)
        return Inputs(
            scalars=next(following),
            losses=next(following),
            outputs={name: next(following) for name in self.outputs},
            labels=next(following),
            gradients={
                name: of.replaced(*(next(following) for _ in of.parts))
                for name, of in self.gradients.items()
            },
            reactions=next(following),
        )

    def take(self, index: Tensor) -> "Inputs":
        """Return the records at these positions."""
        places = index.to(self.device)
        return self.replaced(part.index_select(1, places) for part in self.parts)

    def between(self, start: int, stop: int) -> "Inputs":
        """Return some of the records, without a copy; of a stack of networks, too."""
        stacked = self.scalars.dim() - 3
        where = (*[slice(None)] * (stacked + 1), slice(start, stop))
        return self.replaced(part[where] for part in self.parts)

    def latest(self, count: int | None) -> "Inputs":
        """Return the same scalars, with the vectors of the last `count` snapshots (None: all)."""
        if count is None or count >= len(self.losses):
            return self
        return replace(
            self,
            losses=self.losses[-count:],
            outputs={name: values[-count:] for name, values in self.outputs.items()},
            gradients={
                name: of.replaced(*(part[-count:] for part in of.parts))
                for name, of in self.gradients.items()
            },
        )

    @property
    def summary(self) -> Tensor:
        """All scalars and reactions of a record side by side, (N, T S + R S)."""
        return torch.cat([by_record(self.scalars), by_record(self.reactions)], -1)

    @property
    def summarised(self) -> "Inputs":
        """The same with `summary` as the scalars of one snapshot, so that it is made once."""
        return replace(self, scalars=self.summary[None], reactions=self.reactions[:0])


def by_record(values: Tensor) -> Tensor:
    """Return (N, T * width) of (T, N, width)."""
    return values.transpose(-3, -2).flatten(-2)


def stack(
    snapshots: Sequence[SnapshotFeatures],
    chosen: SelectedInputs | None = None,
    pairs: Sequence[tuple[SnapshotFeatures, SnapshotFeatures]] = (),
) -> Inputs:
    """Return the features of the same records on T snapshots as one `Inputs`, as they are.

    Parameters
    ----------
    snapshots
        The features of each snapshot that is read.
    chosen
        What of it is read; by default all that is always extracted.
    pairs
        Features (before, after) training, of rounds of which both are there.

    Raises
    ------
    SnapshotError
        If there is no snapshot, or the snapshots disagree on the records or their labels.
    """
    chosen = chosen or SelectedInputs()
    if not snapshots:
        raise SnapshotError("an attack needs the features of at least one snapshot")
    first = snapshots[0]
    for number, other in enumerate([*snapshots, *(side for pair in pairs for side in pair)]):
        if not np.array_equal(other.records, first.records):
            raise SnapshotError(f"snapshots 0 and {number} hold features of different records")
        if not np.array_equal(other.labels, first.labels):
            raise SnapshotError(
                f"snapshots 0 and {number} give different labels to the same records"
            )
    scalars = _stacked([scalar_columns(features, chosen) for features in snapshots])
    both = replace(chosen, norms=())  # what was sent has no norms
    reactions = [
        scalar_columns(after, both) - scalar_columns(before, both) for before, after in pairs
    ]
    none = scalars[..., :0]
    labels = _label_columns(first)[None]
    return Inputs(
        scalars=scalars,
        losses=_stacked([f.losses[:, None] for f in snapshots]) if chosen.loss else none,
        outputs=_outputs(snapshots, chosen),
        labels=labels if chosen.label else labels[..., :0],
        gradients=_gradients(snapshots, chosen),
        reactions=_stacked(reactions) if reactions else scalars[:0, :, :0],
    )


def _outputs(snapshots: Sequence[SnapshotFeatures], chosen: SelectedInputs) -> dict[str, Tensor]:
    last = {LAST_LAYER: _stacked([f.logits for f in snapshots])} if chosen.last_output else {}
    return last | {n: _stacked([f.outputs[n] for f in snapshots]) for n in chosen.outputs}


def _gradients(
    snapshots: Sequence[SnapshotFeatures], chosen: SelectedInputs
) -> dict[str, GradientInputs]:
    found: dict[str, GradientInputs] = {}
    if chosen.last_gradient:
        deltas, hidden = ([getattr(f, side) for f in snapshots] for side in ("deltas", "hidden"))
        found[LAST_LAYER] = RankOne(_stacked(deltas), _stacked(hidden))
    return found | {n: stacked([f.gradients[n] for f in snapshots]) for n in chosen.gradients}


def scalar_columns(features: SnapshotFeatures, chosen: SelectedInputs) -> NDArray[np.float32]:
    """Return the chosen scalars and the log gradient norms of layers, side by side."""
    norms = log_norms(features)
    if chosen.norms is not None:
        norms = norms[:, [features.layers.index(name) for name in chosen.norms]]
    columns = [features.scalar_names.index(name) for name in chosen.scalars]
    return np.concatenate([features.scalars[:, columns], norms], axis=1)


def _label_columns(features: SnapshotFeatures) -> Tensor:
    """Return the network's input columns of the targets (N, K).

    Classes are one-hot, numbers unchanged; token sequences are too long and left out.
    """
    labels = torch.from_numpy(features.labels)
    if features.classes:
        return F.one_hot(labels, features.classes).float()
    flat = labels.reshape(len(labels), -1).float()
    return flat if labels.is_floating_point() or labels.dim() == 1 else flat[:, :0]


def _stacked(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
