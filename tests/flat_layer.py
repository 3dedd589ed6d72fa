"""A layer as a model, for tests of gradient rules."""

from torch import Tensor, nn


class Flat(nn.Module):
    """A layer with everything it returns flattened into one output a record."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs).flatten(1)
