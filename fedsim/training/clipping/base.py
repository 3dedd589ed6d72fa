"""What every way to clip the gradients of single records has in common."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from fedsim.errors import FedsimError

STABILISER = 1e-6
"""Added to each norm before the division, as Opacus does."""


class ClippingDoesNotApplyError(FedsimError):
    """A way to clip that cannot give the gradients of single records of this model."""


class Clipping(AbstractContextManager["Clipping"], ABC):
    """The gradients of single records, in one pass over a batch of them.

    Between entering and leaving, the model's forward passes are watched.

    Parameters
    ----------
    model
        Whose trainable parameters are meant; left as it was.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.parameters = [p for p in model.parameters() if p.requires_grad]

    @abstractmethod
    def squared_norms(self, loss: Tensor, count: int) -> Tensor:
        """Go back from a loss, and return each record's squared gradient norm, shape (count,).

        Parameters
        ----------
        loss
            The mean over the records of the last forward pass.
        count
            How many they are.

        Raises
        ------
        ClippingDoesNotApplyError
            If the forward pass was one that this way cannot follow.
        """

    @abstractmethod
    def weighted_sum(self, weights: Tensor) -> dict[nn.Parameter, Tensor]:
        """Return the sum over records of weight, shape (count,), times gradient.

        Of the pass that `squared_norms` went back through last; a parameter without a gradient in
        it is missing.
        """

    def clipped_sum(self, loss: Tensor, count: int, clip_norm: float) -> dict[nn.Parameter, Tensor]:
        """Return the sum of the gradients, each scaled down to `clip_norm` where it is longer."""
        norms = self.squared_norms(loss, count).sqrt()
        return self.weighted_sum((clip_norm / (norms + STABILISER)).clamp(max=1.0))

    def __exit__(self, *raised: Any) -> None:
        """Watch no more."""
