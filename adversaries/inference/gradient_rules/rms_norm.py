"""Normalisation by the root mean square, which has a scale only."""

import torch.nn.functional as F
from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import gradients
from adversaries.inference.gradient_rules.layer_norm import over_positions


@gradients.register
def _(layer: nn.RMSNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    if not layer.elementwise_affine:
        return {}
    shape = list(layer.normalized_shape)
    normalised = F.rms_norm(inputs, shape, eps=layer.eps)
    return {"weight": over_positions(normalised * deltas, tuple(shape))}
