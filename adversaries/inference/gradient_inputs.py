"""The weight gradients of one layer over several snapshots, as the attack network reads them.

The network's first step over a gradient is a convolution whose kernels span the layer's outputs and
slide over its inputs. Both forms in which gradients are kept give it exactly: see `projected`. In a
stack of K networks (see `network_stack`), inputs have a further first dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from adversaries.inference.conv_unfold import Unfolding
from adversaries.inference.factored_gradients import DELTAS, INPUTS, MATRIX, FactoredGradients

PerUnit = Callable[[Tensor], Tensor]
"""Something done to values (T, N, units, ...) unit by unit, as dropout does."""


class GradientInputs(Protocol):
    """Gradients (C, F) of N records on T snapshots, in whatever form."""

    @property
    def size(self) -> tuple[int, int, int]:
        """T, C and F."""

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors of this form, (T, N, ...) each."""

    def replaced(self, *parts: Tensor) -> Self:
        """Return the same form of other tensors."""

    def dropped(self, dropout: PerUnit) -> Self:
        """Return the gradients with `dropout` on the factors of their rows and columns."""

    def projected(self, weight: Tensor) -> Tensor:
        """Return W^T G of every gradient G, (T, N, K, F), for weights W (T or 1, C, K)."""


@dataclass(frozen=True)
class RankOne:
    """Gradients delta a^T: `deltas` (T, N, C) and `inputs` (T, N, F)."""

    deltas: Tensor
    inputs: Tensor

    @property
    def size(self) -> tuple[int, int, int]:
        """T, C and F."""
        return len(self.deltas), self.deltas.shape[-1], self.inputs.shape[-1]

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Deltas, inputs."""
        return self.deltas, self.inputs

    def replaced(self, *parts: Tensor) -> "RankOne":
        """Return the same form of other tensors."""
        return RankOne(*parts)

    def dropped(self, dropout: PerUnit) -> "RankOne":
        """Drop units of delta and of a, so whole rows and columns."""
        return RankOne(dropout(self.deltas), dropout(self.inputs))

    def projected(self, weight: Tensor) -> Tensor:
        """Return the outer products of (W^T delta) and a; no matrix is ever made."""
        return (self.deltas @ weight)[..., None] * self.inputs[..., None, :]


@dataclass(frozen=True)
class SummedOverPositions:
    """Gradients that are sums over P positions: `deltas` (T, N, C, P) and `inputs`.

    `inputs` are (T, N, F, P), or with an unfolding images (T, N, channels, height, width), which it
    turns into patches.
    """

    deltas: Tensor
    inputs: Tensor
    unfolding: Unfolding | None

    @property
    def size(self) -> tuple[int, int, int]:
        """T, C and F."""
        fan_in = self._patches(self.inputs[:1, :1]).shape[-2]
        return len(self.deltas), self.deltas.shape[2], fan_in

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Deltas, inputs."""
        return self.deltas, self.inputs

    def replaced(self, *parts: Tensor) -> "SummedOverPositions":
        """Return the same form of other tensors."""
        deltas, inputs = parts
        return SummedOverPositions(deltas, inputs, self.unfolding)

    def dropped(self, dropout: PerUnit) -> "SummedOverPositions":
        """Drop channels of the layer's outputs and inputs."""
        return SummedOverPositions(dropout(self.deltas), dropout(self.inputs), self.unfolding)

    def projected(self, weight: Tensor) -> Tensor:
        """Return the sum over positions of (W^T delta_p) a_p^T."""
        patches = self._patches(self.inputs)
        groups = patches.shape[-3]
        *before, channels, positions = self.deltas.shape
        deltas = self.deltas.reshape(*before, groups, channels // groups, positions)
        weights = weight.mT.reshape(*weight.mT.shape[:-1], groups, channels // groups)
        weights = weights.transpose(-3, -2).unsqueeze(-4)
        # Groups do not see each other's inputs; a kernel spans the outputs of all.
        return (weights @ deltas @ patches.mT).sum(-3)

    def _patches(self, inputs: Tensor) -> Tensor:
        """Return (T, N, groups, F, P)."""
        if self.unfolding is None:
            return inputs.unsqueeze(-3)
        found = self.unfolding.patches(inputs.flatten(0, -4))
        return found.reshape(*inputs.shape[:-3], *found.shape[1:])


@dataclass(frozen=True)
class Matrices:
    """Gradients as they are, (T, N, C, F)."""

    matrices: Tensor

    @property
    def size(self) -> tuple[int, int, int]:
        """T, C and F."""
        snapshots, _, fan_out, fan_in = self.matrices.shape
        return snapshots, fan_out, fan_in

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The matrices."""
        return (self.matrices,)

    def replaced(self, *parts: Tensor) -> "Matrices":
        """Return the same form of other tensors."""
        return Matrices(*parts)

    def dropped(self, dropout: PerUnit) -> "Matrices":
        """Drop rows and columns."""
        return Matrices(dropout(dropout(self.matrices).mT).mT)

    def projected(self, weight: Tensor) -> Tensor:
        """Return W^T G."""
        return weight.mT.unsqueeze(-3) @ self.matrices


def stacked(snapshots: Sequence[FactoredGradients]) -> GradientInputs:
    """Return the gradients of one layer on T snapshots as one."""
    names = snapshots[0].parts
    parts = {name: torch.stack([found.parts[name] for found in snapshots]) for name in names}
    if MATRIX in parts:
        return Matrices(parts[MATRIX])
    deltas, inputs = parts[DELTAS], parts[INPUTS]
    if deltas.dim() == 3:
        return RankOne(deltas, inputs)
    return SummedOverPositions(deltas, inputs, snapshots[0].unfolding)
