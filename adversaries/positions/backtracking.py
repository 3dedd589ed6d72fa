"""Backtracking: shorten a step by bisection until a condition holds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

BISECTIONS = 6
MOST_BISECTIONS = 30  # where six leave nothing of a step


@torch.no_grad()
def backtrack(
    parameters: Sequence[nn.Parameter], start: Sequence[Tensor], allowed: Callable[[], bool]
) -> float:
    """Move parameters back towards `start`, by bisection, until they are allowed.

    It goes on halving until something is allowed, and refines that.

    Returns
    -------
    The share of the step that is kept: 1 for all of it, 0 if nothing is allowed.
    """
    if allowed():
        return 1.0
    end = [parameter.detach().clone() for parameter in parameters]
    low, high, steps = 0.0, 1.0, BISECTIONS
    while steps:
        share = (low + high) / 2
        for parameter, first, furthest in zip(parameters, start, end, strict=True):
            parameter.copy_(torch.lerp(first, furthest, share))
        if allowed():
            low = share
        else:
            high = share
        steps -= 1
        if not (steps or low) and high > 2.0**-MOST_BISECTIONS:
            steps = 1
        elif not steps and low and high == 2 * low <= 2.0**-BISECTIONS:
            steps = BISECTIONS - 1
    for parameter, first, furthest in zip(parameters, start, end, strict=True):
        parameter.copy_(torch.lerp(first, furthest, low) if low else first)
    stayed = all(torch.equal(p, first) for p, first in zip(parameters, start, strict=True))
    return 0.0 if stayed else low
