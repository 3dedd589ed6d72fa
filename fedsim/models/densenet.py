"""DenseNet-BC for CIFAR: Huang, Liu, van der Maaten and Weinberger, CVPR 2017.

"Densely connected convolutional networks", section 4: three dense blocks of bottleneck layers (1x1
to 4k channels, then 3x3 to k), with a transition between blocks that halves channels and image.
"""

from collections import OrderedDict
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from fedsim.models.sizes import Depth, Shape, Size

BLOCKS = 3
LAYERS_OUTSIDE_BLOCKS = 4
LAYERS_A_BOTTLENECK = 2
BOTTLENECK = 4


class Bottleneck(nn.Module):
    """A dense layer, which concatenates `growth` new channels to its input."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, channels_in, S, S) to (N, channels_in + growth, S, S)."""
        new = self.conv1(functional.relu(self.norm1(images)))
        new = self.conv2(functional.relu(self.norm2(new)))
        return torch.cat([images, new], 1)


class Transition(nn.Module):
    """The layer between two dense blocks, which reduces the channels and halves the image."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in)
        self.conv = nn.Conv2d(channels_in, channels, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, channels_in, S, S) to (N, channels, S / 2, S / 2)."""
        return functional.avg_pool2d(self.conv(functional.relu(self.norm(images))), 2)


class _NormalisedAverage(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(self.norm(images)).mean((2, 3))


def densenet(
    num_classes: Size,
    input_shape: Shape = (3, 32, 32),
    depth: Depth = 190,
    growth: Annotated[int, Field(gt=0, le=256)] = 40,
    compression: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> nn.Sequential:
    """DenseNet-BC for small images; L = 190, k = 40 by default, as in the paper's target.

    The layers are named ``conv1``, ``block1`` to ``block3``, ``transition1``, ``transition2`` and
    ``classifier``.

    Parameters
    ----------
    depth
        The number L of weighted layers: 6n + 4 for n bottlenecks a block (40, 100, 190, 250, ...).
    growth
        The number k of channels that each bottleneck adds.
    compression
        The share of the channels that a transition keeps.

    Raises
    ------
    ValueError
        If `depth` is not 6n + 4, or `input_shape` is not that of images.
    """
    layers_a_block, rest = divmod(depth - LAYERS_OUTSIDE_BLOCKS, BLOCKS * LAYERS_A_BOTTLENECK)
    if rest or layers_a_block < 1:
        raise ValueError(f"depth {depth} is not 6n + 4; valid: 10, 16, 22, 40, 100, 190, ...")
    if len(input_shape) != 3:
        raise ValueError(f"densenet takes images of (channels, height, width), not {input_shape}")
    channels = 2 * growth
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False)
    )
    for block in range(1, BLOCKS + 1):
        dense = [Bottleneck(channels + i * growth, growth) for i in range(layers_a_block)]
        layers[f"block{block}"] = nn.Sequential(*dense)
        channels += layers_a_block * growth
        if block < BLOCKS:
            kept = max(1, int(channels * compression))
            layers[f"transition{block}"] = Transition(channels, kept)
            channels = kept
    layers["pool"] = _NormalisedAverage(channels)
    layers["classifier"] = nn.Linear(channels, num_classes)
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network
