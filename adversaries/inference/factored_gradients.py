"""Per-record weight gradients in the smallest lossless form.

The gradient of a weight is a sum over positions p of delta_p a_p^T, with a_p the input of the layer
at p and delta_p the gradient of the loss with respect to its output. A linear layer on plain
vectors has one position: two vectors replace a matrix. A convolution with small maps has few
positions: for the fifth convolution of AlexNet its input and deltas (8 kB per record) replace a
matrix of 2.4 MB. With large maps and few channels the matrix is smaller; then it is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from adversaries.inference.conv_unfold import Unfolding, as_images
from adversaries.inference.gradient_rules import gradients
from fedsim.errors import FedsimError

MATRIX, INPUTS, DELTAS = "matrix", "inputs", "deltas"


@dataclass(frozen=True)
class FactoredGradients:
    """The gradients of one layer's weight, (C, F) for each of N records.

    Attributes
    ----------
    parts
        Either ``matrix`` (N, C, F), or the two factors. ``deltas`` are (N, C), with ``inputs``
        (N, F); or (N, C, P) for P positions, with ``inputs`` (N, F, P), or (N, channels, height,
        width) if there is an unfolding.
    unfolding
        Turns ``inputs`` of a convolution into the patches of each position.
    """

    parts: Mapping[str, Tensor]
    unfolding: Unfolding | None = None

    @property
    def matrices(self) -> Tensor:
        """The gradients themselves, (N, C, F); for checks, as they are large."""
        if MATRIX in self.parts:
            return self.parts[MATRIX]
        inputs, deltas = self.parts[INPUTS], self.parts[DELTAS]
        if self.unfolding is None:
            by_position = (side.reshape(*side.shape[:2], -1) for side in (deltas, inputs))
            return torch.einsum("ncp,nfp->ncf", *by_position)
        grouped = self.unfolding.by_group(deltas) @ self.unfolding.patches(inputs).mT
        return grouped.flatten(1, 2)


@singledispatch
def compact(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> FactoredGradients:
    """Return the gradients of a layer's weight from its trace (see `backward.Trace`).

    Raises
    ------
    FedsimError
        If the layer is of a type whose weight gradient is no matrix.
    """
    raise FedsimError(
        f"the gradients of a {type(layer).__name__} cannot be attacked as a matrix; name layers of "
        "type Linear or Conv2d"
    )


@compact.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> FactoredGradients:
    if inputs.dim() == 2:
        return FactoredGradients({INPUTS: inputs, DELTAS: deltas})
    positions = {INPUTS: _last_but_one(inputs), DELTAS: _last_but_one(deltas)}
    return _smaller(FactoredGradients(positions), layer, inputs, deltas)


@compact.register(nn.Conv1d)
@compact.register(nn.Conv2d)
def _(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, deltas: Tensor) -> FactoredGradients:
    factors = {INPUTS: as_images(inputs), DELTAS: deltas.flatten(2)}
    return _smaller(FactoredGradients(factors, Unfolding.of(layer)), layer, inputs, deltas)


def _smaller(
    factored: FactoredGradients,
    layer: nn.Linear | nn.Conv1d | nn.Conv2d,
    inputs: Tensor,
    deltas: Tensor,
) -> FactoredGradients:
    """Return the factors, or the matrix if that is smaller; it depends on the shapes alone."""
    if sum(part[0].numel() for part in factored.parts.values()) <= layer.weight.numel():
        return factored
    return FactoredGradients({MATRIX: gradients(layer, inputs, deltas)["weight"].flatten(2)})


def _last_but_one(values: Tensor) -> Tensor:
    """Return (N, width, positions) of a linear layer's (N, ..., width)."""
    return values.reshape(len(values), -1, values.shape[-1]).mT


def joined(batches: list[FactoredGradients]) -> FactoredGradients:
    """Return the records of several batches as one."""
    parts = {name: torch.cat([b.parts[name] for b in batches]) for name in batches[0].parts}
    return FactoredGradients(parts, batches[0].unfolding)
