"""The fully connected networks of the paper, for Purchase100, Texas100 and their like."""

import math
from collections import OrderedDict
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from fedsim.models.sizes import Shape, Share, Size

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def fully_connected(
    num_classes: Size,
    input_shape: Shape,
    widths: Annotated[tuple[Size, ...], Field(max_length=1_000)] = (1024, 512, 256, 128),
    activation: Literal["tanh", "relu"] = "tanh",
    dropout: Share = 0.0,
) -> nn.Sequential:
    """Linear layers with an activation between them; the paper's widths by default.

    The layers are named ``linear1``, ``linear2``, ... and ``classifier``.

    Parameters
    ----------
    num_classes
        How many logits it returns.
    input_shape
        The shape of a record.
    widths
        The outputs of each layer but the last.
    activation
        What is between them.
    dropout
        With what probability an output of these layers is left out in training.
    """
    layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    inputs = math.prod(input_shape)
    for number, outputs in enumerate(widths, start=1):
        layers[f"linear{number}"] = nn.Linear(inputs, outputs)
        layers[f"{activation}{number}"] = ACTIVATIONS[activation]()
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        inputs = outputs
    layers["classifier"] = nn.Linear(inputs, num_classes)
    return nn.Sequential(layers)
