"""Group normalisation: one scale and shift a channel, over all positions."""

import torch.nn.functional as F
from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import gradients


@gradients.register
def _(layer: nn.GroupNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    if not layer.affine:
        return {}
    normalised = F.group_norm(inputs, layer.num_groups, eps=layer.eps)
    by_channel = (len(inputs), layer.num_channels, -1)
    return {
        "weight": (normalised * deltas).reshape(by_channel).sum(2),
        "bias": deltas.reshape(by_channel).sum(2),
    }
