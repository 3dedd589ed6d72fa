"""Unfolding of a convolution's input into patches, one for each output position.

On patches a convolution is a linear layer applied at each position, so the rules for per-record
gradients of linear layers apply. The geometry is stored separately, because a factored gradient is
unfolded later, without the layer. A one-dimensional convolution is treated as one over images of
height one.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Unfolding:
    """How a convolution cuts its input into patches.

    Attributes
    ----------
    kernel_size, dilation, stride
        (height, width) each.
    padding
        (left, right, top, bottom), as `torch.nn.functional.pad` takes it.
    padding_mode
        Padding mode of the layer: ``"zeros"``, ``"reflect"``, ...
    groups
        Number of channel groups.
    """

    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    padding_mode: str = "zeros"
    groups: int = 1

    @classmethod
    def of(cls, layer: nn.Conv1d | nn.Conv2d) -> "Unfolding":
        """Return the geometry of a layer, also for a padding of 'same' or 'valid'."""
        flat = isinstance(layer, nn.Conv1d)
        height = (1,) if flat else ()
        return cls(
            kernel_size=(*height, *layer.kernel_size),
            dilation=(*height, *layer.dilation),
            stride=(*height, *layer.stride),
            padding=(*layer._reversed_padding_repeated_twice, *((0, 0) if flat else ())),
            padding_mode=layer.padding_mode,
            groups=layer.groups,
        )

    def patches(self, images: Tensor) -> Tensor:
        """Return (N, groups, fan in, positions) of images (N, channels, height, width).

        Also for (N, channels, width), if the convolution is one-dimensional.
        """
        images = as_images(images)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        padded = F.pad(images, self.padding, mode=mode)
        unfolded = F.unfold(padded, self.kernel_size, self.dilation, 0, self.stride)
        return unfolded.reshape(len(images), self.groups, -1, unfolded.shape[-1])

    def by_group(self, deltas: Tensor) -> Tensor:
        """Return (N, groups, channels a group, positions) of (N, channels, ...)."""
        return deltas.reshape(len(deltas), self.groups, deltas.shape[1] // self.groups, -1)


def as_images(values: Tensor) -> Tensor:
    """Return (N, channels, height, width); values (N, channels, width) get a height of one."""
    return values.unsqueeze(2) if values.dim() == 3 else values
