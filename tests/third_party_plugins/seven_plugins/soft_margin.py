"""An objective: a smooth hinge."""

import torch
from torch import Tensor

from fedsim import Objective, UtilityFigure


class SoftMargin(Objective):
    """The true logit above the best other one by a margin, and no more."""

    scalars = ("margin",)
    utility = UtilityFigure("accuracy", "accuracy", percent=True, higher_is_better=True)

    def __init__(self, margin: float = 2.0) -> None:
        self.margin = margin

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each record."""
        return torch.nn.functional.softplus(self.margin - self._margins(outputs, targets))

    def utility_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return whether each record is right."""
        return (self._margins(outputs, targets) > 0).float()

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the margin of each record."""
        return self._margins(outputs, targets)[:, None]

    def _margins(self, outputs: Tensor, targets: Tensor) -> Tensor:
        column = targets[:, None]
        return outputs.gather(1, column)[:, 0] - outputs.scatter(1, column, -torch.inf).amax(1)
