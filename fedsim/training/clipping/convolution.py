"""Convolutions over one or two axes: linear layers on patches, one at each place."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedsim.training.clipping.linear import Products, is_ghost_cheaper
from fedsim.training.clipping.record_gradients import (
    RecordGradients,
    WrittenDown,
    record_gradients,
)


@record_gradients.register(nn.Conv1d)
@record_gradients.register(nn.Conv2d)
def _(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, deltas: Tensor) -> RecordGradients:
    if layer.groups > 1 or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return WrittenDown.by_opacus(layer, inputs, deltas)
    flat = deltas.flatten(2).mT
    patches = _patches(layer, layer.padding, inputs.to(deltas.dtype)).mT
    if is_ghost_cheaper(patches.shape[1], patches.shape[2], flat.shape[2]):
        return Products(layer, patches, flat)
    return _LargeMaps(layer, inputs, deltas, patches, flat)


class _LargeMaps(Products):
    """A convolution at many places, whose patches are not kept: they take too much memory.

    Its sum is PyTorch's own gradient of the weight, of weighted deltas.
    """

    def __init__(
        self,
        layer: nn.Conv1d | nn.Conv2d,
        inputs: Tensor,
        deltas: Tensor,
        patches: Tensor,
        flat: Tensor,
    ) -> None:
        self._given = inputs, deltas
        self._convolution = layer
        self._norms = Products(layer, patches, flat).squared_norms()

    def squared_norms(self) -> Tensor:
        """Return the squared norms, shape (n,)."""
        return self._norms

    def weighted_sum(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the sums."""
        layer = self._convolution
        inputs, deltas = self._given
        biased = layer.bias is not None
        _, weight, bias = torch.ops.aten.convolution_backward(
            deltas * weights.view(-1, *[1] * (deltas.dim() - 1)),
            inputs,
            layer.weight,
            [layer.out_channels] if biased else None,
            layer.stride,
            layer.padding,
            layer.dilation,
            False,
            [0] * len(layer.stride),
            1,
            [False, True, biased],
        )
        found = {"weight": weight, "bias": bias}
        return {
            name: found[name]
            for name, parameter in layer.named_parameters(recurse=False)
            if parameter.requires_grad
        }


def _patches(layer: nn.Conv1d | nn.Conv2d, around: tuple[int, ...], inputs: Tensor) -> Tensor:
    """Return what a weight meets at each place, shape (n, features, places)."""
    if isinstance(layer, nn.Conv1d):  # one row of an image
        inputs = inputs.unsqueeze(2)
    kernel, dilation = (1, *layer.kernel_size)[-2:], (1, *layer.dilation)[-2:]
    padding, stride = (0, *around)[-2:], (1, *layer.stride)[-2:]
    return functional.unfold(inputs, kernel, dilation, padding, stride)
