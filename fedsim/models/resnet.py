"""ResNet for CIFAR: He, Zhang, Ren and Sun, "Deep residual learning for image recognition".

CVPR 2016, section 4.2: three stages of n blocks with 16, 32 and 64 channels, 6n + 2 weighted layers
in all, shortcuts without parameters (option A).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedsim.models.sizes import Depth, Shape, Size

STAGES = 3
LAYERS_OUTSIDE_BLOCKS = 2
LAYERS_A_BLOCK = 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the first one may halve the image."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - channels_in

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, channels_in, S, S) to (N, channels, S / stride, S / stride)."""
        inner = functional.relu(self.norm1(self.conv1(images)))
        inner = self.norm2(self.conv2(inner))
        shortcut = images[:, :, :: self.stride, :: self.stride]
        # New channels start as zeros, so the shortcut has no parameters.
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return functional.relu(inner + shortcut)


class _AveragePositions(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def resnet(
    num_classes: Size,
    input_shape: Shape = (3, 32, 32),
    depth: Depth = 110,
    width: Size = 16,
) -> nn.Sequential:
    """ResNet for small images; ResNet-110 by default (1.7 million parameters at 100 classes).

    The layers are named ``conv1``, ``stage1`` to ``stage3`` and ``classifier``.

    Parameters
    ----------
    depth
        The number of weighted layers: 6n + 2 for n blocks a stage (20, 32, 44, 56, 110, ...).
    width
        The number of channels of the first stage; each later stage has twice as many.

    Raises
    ------
    ValueError
        If `depth` is not 6n + 2, or `input_shape` is not that of images.
    """
    blocks, rest = divmod(depth - LAYERS_OUTSIDE_BLOCKS, STAGES * LAYERS_A_BLOCK)
    if rest or blocks < 1:
        raise ValueError(f"depth {depth} is not 6n + 2; valid: 8, 14, 20, 32, 44, 56, 110, ...")
    if len(input_shape) != 3:
        raise ValueError(f"resnet takes images of (channels, height, width), not {input_shape}")
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
        norm1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
    )
    channels_in = width
    for stage in range(STAGES):
        channels = width * 2**stage
        strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
        made = []
        for stride in strides:
            made.append(BasicBlock(channels_in, channels, stride))
            channels_in = channels
        layers[f"stage{stage + 1}"] = nn.Sequential(*made)
    layers["pool"] = _AveragePositions()
    layers["classifier"] = nn.Linear(channels_in, num_classes)
    network = nn.Sequential(layers)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
