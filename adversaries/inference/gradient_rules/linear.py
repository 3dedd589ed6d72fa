"""Linear layers, on plain vectors or at any number of positions."""

from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import (
    gradients,
    norms_over_positions,
    squared_norms,
)


@gradients.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    inputs, deltas = by_position(inputs), by_position(deltas)
    found = {"weight": deltas.mT @ inputs}
    if layer.bias is not None:
        found["bias"] = deltas.sum(1)
    return found


@squared_norms.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> Tensor:
    biased = layer.bias is not None
    if inputs.dim() == 2:  # rank one: |delta a^T|^2 = |delta|^2 |a|^2, and the bias adds |delta|^2
        return deltas.square().sum(1) * (inputs.square().sum(1) + biased)
    return norms_over_positions(by_position(inputs).mT, by_position(deltas).mT, biased)


def by_position(values: Tensor) -> Tensor:
    """Return (N, positions, width) of a linear layer's (N, ..., width)."""
    return values.reshape(len(values), -1, values.shape[-1])
