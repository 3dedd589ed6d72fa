"""The layers of attack networks, for one network or for a stack of K that are trained together.

A stack has its networks in the first dimension of every parameter and of every value. Each network
of a stack draws its dropout from a generator of its own, so that it drops what it would drop alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RecordLinear(nn.Linear):
    """A linear layer: (N, in) to (N, out); of a stack, (K, N, in) to (K, N, out)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in torch
        """Apply each network's layer to its values."""
        if self.weight.dim() == 2:
            return super().forward(input)
        return torch.baddbmm(self.bias[:, None], input, self.weight.mT)


class SnapshotLinear(nn.Module):
    """A linear layer for each of T snapshots, or one (T = 1) for all: (T, N, in) to (T, N, out)."""

    def __init__(self, snapshots: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, width_out))
        nn.init.normal_(self.weight, std=width_in**-0.5)

    def forward(self, values: Tensor) -> Tensor:
        """Apply each snapshot's layer to its values."""
        return values @ self.weight + self.bias


class Dropout(nn.Module):
    """Dropout of single values.

    Attributes
    ----------
    share
        Of the values that are dropped.
    generators
        Of the networks of a stack, one each; None draws from torch's global generator.
    """

    generators: Sequence[torch.Generator] | None = None

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training; change nothing otherwise."""
        if not self.training or self.share == 0:
            return values
        kept = values.new_empty(self._drawn(values.shape, 0 if self.generators is None else 1))
        if self.generators is None:
            kept.bernoulli_(1 - self.share)
        else:
            for own, generator in zip(kept, self.generators, strict=True):
                own.bernoulli_(1 - self.share, generator=generator)
        return values * kept.div_(1 - self.share)

    def _drawn(self, shape: torch.Size, stacked: int) -> Sequence[int]:
        """Return the shape of what is drawn, behind as many dimensions of a stack."""
        return shape


class UnitDropout(Dropout):
    """Dropout of a record's units, the same ones in all its snapshots.

    A unit that is dropped in one snapshot only could be read off the next; and one mask for all is
    T times cheaper to draw. What stands behind the units, as positions, is dropped with them: of
    (T, N, units, ...), (1, N, units, 1, ...) is drawn.
    """

    def _drawn(self, shape: torch.Size, stacked: int) -> Sequence[int]:
        record = stacked + 1
        behind = len(shape) - record - 2
        return (*shape[:stacked], 1, *shape[record : record + 2], *[1] * behind)
