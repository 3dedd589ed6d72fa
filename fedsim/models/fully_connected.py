"""The fully connected networks of the paper, for Purchase100, Texas100 and their like."""

import math
from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from fedsim.models.sizes import Shape, Size

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def fully_connected(
    num_classes: Size,
    input_shape: Shape,
    widths: Annotated[tuple[Size, ...], Field(max_length=1_000)] = (1024, 512, 256, 128),
    activation: Literal["tanh", "relu"] = "tanh",
) -> nn.Sequential:
    """Linear layers with an activation between them; the paper's widths by default.

    The layers are named ``linear1``, ``linear2``, ... and ``classifier``.
    """
    layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    inputs = math.prod(input_shape)
    for number, outputs in enumerate(widths, start=1):
        layers[f"linear{number}"] = nn.Linear(inputs, outputs)
        layers[f"{activation}{number}"] = ACTIVATIONS[activation]()
        inputs = outputs
    layers["classifier"] = nn.Linear(inputs, num_classes)
    return nn.Sequential(layers)
