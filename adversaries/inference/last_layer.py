"""The scalars of a linear last layer, whose weight gradient is the product of two vectors."""

import torch
from torch import Tensor

from fedsim.objectives import RecordFit

LAST_LAYER_SCALARS = ("hidden norm", "log gradient norm")
"""The norm of the layer's input; the log norm of the gradient of its weight and bias."""

PLACE = 2
"""The place of the last layer's scalars among those of the objective."""


def scalar_names(objective: tuple[str, ...], last_layer: bool) -> tuple[str, ...]:
    """Return the names of all scalars of a snapshot, in the order of their columns."""
    extra = LAST_LAYER_SCALARS if last_layer else ()
    return (*objective[:PLACE], *extra, *objective[PLACE:])


def with_last_layer(fit: RecordFit, hidden: Tensor, biased: bool) -> Tensor:
    """Return the columns of `scalar_names` (N, S + 2) for the layer's input (N, H)."""
    squared = hidden.square().sum(1)
    # |delta a^T|^2 = |delta|^2 |a|^2; the bias has the gradient delta.
    log_norm = fit.log_scale + fit.direction.norm(dim=1).log() + (squared + biased).log() / 2
    extra = torch.stack([squared.sqrt(), log_norm], 1)
    return torch.cat([fit.scalars[:, :PLACE], extra, fit.scalars[:, PLACE:]], 1)
