"""The fully connected networks of the paper, for data such as Purchase100 and Texas100."""

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
        The number of logits.
    input_shape
        The shape of a record.
    widths
        The number of outputs of each layer except the last.
    activation
        The activation after each of these layers.
    dropout
        The probability with which an output of these layers is dropped in training.
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
