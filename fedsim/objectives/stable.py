"""Logarithms of losses that do not underflow for confident predictions."""

import torch
from torch import Tensor
from torch.nn import functional

SMALL = 1e-30
CERTAIN = 15.0  # above it, log(1 + exp(-x)) is exp(-x) to the last digit of float32


def log_loss_of_odds(log_odds: Tensor) -> Tensor:
    """Return the logarithm of ``log(1 + exp(-log_odds))``, the loss of what has these log-odds.

    The loss itself is 0 in float32 from log-odds of 104 on; its logarithm is then -log_odds.

    >>> log_loss_of_odds(torch.tensor([0.0, 200.0]))
    tensor([  -0.3665, -200.0000])
    """
    plain = functional.softplus(-log_odds).clamp_min(SMALL).log()
    return torch.where(log_odds > CERTAIN, -log_odds, plain)


def log_mean(logarithms: Tensor, counted: Tensor) -> Tensor:
    """Return the logarithm of the mean over the last axis of what has these logarithms.

    Parameters
    ----------
    logarithms
        Shape (n, k).
    counted
        Shape (n, k), bool: which of them count; at least one per row.
    """
    kept = logarithms.masked_fill(~counted, -torch.inf)
    return kept.logsumexp(1) - counted.sum(1).to(kept.dtype).log()


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean over the last axis of the values, shape (n, k), that count."""
    return torch.where(counted, values, 0.0).sum(1) / counted.sum(1)
