"""The layers of attack networks, for one network or for a stack of K that are trained together.

A stack has its networks in the first dimension of every parameter and of every value. Each network
of a stack draws its dropout from a generator of its own, so that it drops what it would drop alone.
"""

import math
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


def draw_normal(weight: Tensor, deviation: float) -> None:
    """Draw a parameter from a normal distribution; where it has a shape only, leave it.

    To draw on the meta device PyTorch imports a compiler first, which takes a second.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, std=deviation)


class SnapshotLinear(nn.Module):
    """A linear layer for each of T snapshots, or one (T = 1) for all: (T, N, in) to (T, N, out)."""

    def __init__(self, snapshots: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, width_out))
        draw_normal(self.weight, width_in**-0.5)

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
        if self.generators is None:
            kept = _kept(self._drawn(values.shape, 0), self.share, [None])[0]
        else:
            kept = _kept(self._drawn(values.shape, 1)[1:], self.share, self.generators)
        return values * kept.to(values.device, values.dtype).mul_(1 / (1 - self.share))

    def _drawn(self, shape: torch.Size, stacked: int) -> Sequence[int]:
        """Return the shape of what is drawn, behind as many dimensions of a stack."""
        return shape


def _kept(
    shape: Sequence[int], share: float, generators: Sequence[torch.Generator | None]
) -> Tensor:
    """Return what is not dropped, as bools, of each generator's network.

    Of every 64 bits that are drawn come four numbers, each below or above the share by 2**-16 at
    most; a draw for each number takes eight times as long.
    """
    count = math.prod(shape)
    words = torch.empty(len(generators), -(-count // 4), dtype=torch.int64)
    for own, generator in zip(words, generators, strict=True):
        own.random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.int16)[:, :count].reshape(len(generators), *shape)
    return numbers >= round(share * 2**16) - 2**15


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
