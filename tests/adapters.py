"""A network whose layers are frozen, with low-rank adapters that are trained (LoRA)."""

import torch
from torch import Tensor, nn


class Adapted(nn.Module):
    """A frozen linear layer plus a product of two narrow matrices (Hu et al., ICLR 2022)."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the layer gives, and what its adapter adds."""
        return self.frozen(inputs) + self.up(self.down(inputs))


def adapted(num_classes: int, input_shape: tuple[int, ...], rank: int = 8) -> nn.Module:
    """Return two adapted layers with a frozen normalisation between them."""
    normalisation = nn.LayerNorm(96).requires_grad_(False)
    return nn.Sequential(
        Adapted(input_shape[0], 96, rank), normalisation, nn.Tanh(), Adapted(96, num_classes, rank)
    )


TRAINED = ["0.down.weight", "0.up.weight", "3.down.weight", "3.up.weight"]


def frozen_of(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that are not trained."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Return whether two sets of parameters are the same bits."""
    return one.keys() == other.keys() and all(torch.equal(v, other[n]) for n, v in one.items())
