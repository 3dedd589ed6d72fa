"""Convolutions over one or two axes, with any stride, padding, dilation and groups."""

from torch import Tensor, nn

from adversaries.inference.conv_unfold import Unfolding
from adversaries.inference.gradient_rules.base import (
    gradients,
    norms_over_positions,
    squared_norms,
)


@gradients.register(nn.Conv1d)
@gradients.register(nn.Conv2d)
def _(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    unfolding = Unfolding.of(layer)
    patches, deltas = unfolding.patches(inputs), unfolding.by_group(deltas)
    found = {"weight": (deltas @ patches.mT).reshape(len(inputs), *layer.weight.shape)}
    if layer.bias is not None:
        found["bias"] = deltas.sum(-1).flatten(1)
    return found


@squared_norms.register(nn.Conv1d)
@squared_norms.register(nn.Conv2d)
def _(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, deltas: Tensor) -> Tensor:
    unfolding = Unfolding.of(layer)
    patches, deltas = unfolding.patches(inputs), unfolding.by_group(deltas)
    return norms_over_positions(patches, deltas, layer.bias is not None)
