"""Batch normalisation in eval mode, where its statistics are constants."""

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from adversaries.inference.gradient_rules.base import gradients
from fedsim.errors import FedsimError


@gradients.register
def _(layer: _BatchNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    if layer.running_mean is None or layer.running_var is None:
        raise FedsimError(
            "a batch-normalisation layer without running statistics mixes the records of a batch, "
            "so no record has a gradient of its own: track running statistics, or leave it out"
        )
    if not layer.affine:
        return {}
    shape = (1, -1, *[1] * (inputs.dim() - 2))
    mean, variance = layer.running_mean.view(shape), layer.running_var.view(shape)
    normalised = (inputs - mean) / (variance + layer.eps).sqrt()
    by_channel = (len(inputs), layer.num_features, -1)
    return {
        "weight": (normalised * deltas).reshape(by_channel).sum(2),
        "bias": deltas.reshape(by_channel).sum(2),
    }
