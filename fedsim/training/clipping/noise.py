"""The noise of a step: without a copy, as drawing it is a large part of what privacy costs."""

import torch
from torch import Tensor, nn


class StepNoise:
    """Gaussian noise, drawn on the CPU into the same memory over and over.

    Parameters
    ----------
    deviation
        Its standard deviation; 0 draws none.
    model
        Whose gradients it is added to.
    generator
        On the CPU.
    """

    def __init__(self, deviation: float, model: nn.Module, generator: torch.Generator) -> None:
        self._deviation, self._generator = deviation, generator
        self._memory = torch.empty(max(p.numel() for p in model.parameters()))

    def add_to(self, total: Tensor) -> Tensor:
        """Add noise to a sum, in place, and return it."""
        if self._deviation:
            drawn = self._memory[: total.numel()].normal_(generator=self._generator)
            total.add_(drawn.view_as(total).to(total.device), alpha=self._deviation)
        return total
