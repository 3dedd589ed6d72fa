"""Layer normalisation: the scale sees the normalised input, the shift the delta."""

import torch.nn.functional as F
from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import gradients


@gradients.register
def _(layer: nn.LayerNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    if not layer.elementwise_affine:
        return {}
    shape = layer.normalized_shape
    normalised = F.layer_norm(inputs, shape, eps=layer.eps)
    found = {"weight": over_positions(normalised * deltas, shape)}
    if layer.bias is not None:
        found["bias"] = over_positions(deltas, shape)
    return found


def over_positions(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the sums (N, *shape) of values (N, ..., *shape) over what lies between."""
    return values.reshape(len(values), -1, *shape).sum(1)
