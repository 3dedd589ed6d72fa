"""Regression: one or several numbers per record, by their squared or absolute error."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from fedsim.errors import ConfigError
from fedsim.objectives.base import Objective, UtilityFigure
from fedsim.objectives.stable import SMALL, log_mean


class Regression(Objective):
    """Numbers: outputs (n,), (n, 1) or (n, K), targets (n,) or (n, K).

    The loss of a record is the mean over its K numbers of the error: squared, or absolute. The
    figure of utility is the root mean squared error, or the mean absolute error, in the units of
    the targets.

    Parameters
    ----------
    error
        Which error is minimised.

    Examples
    --------
    >>> Regression().per_record_loss(torch.tensor([[1.0], [4.0]]), torch.tensor([1.0, 2.0]))
    tensor([0., 4.])
    """

    scalars: ClassVar[tuple[str, ...]] = ("minus log loss", "mean residual")
    utility: ClassVar[UtilityFigure] = UtilityFigure("error", "error-term")

    def __init__(self, error: Literal["squared", "absolute"] = "squared") -> None:
        self.error = error

    def require_fit(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `ConfigError` unless each target has one output."""
        if len(outputs) != len(targets) or outputs.numel() != targets.numel():
            raise ConfigError(
                "objective regression needs one output a target, but the model returns "
                f"{tuple(outputs.shape)} for targets of {tuple(targets.shape)}"
            )

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared, or absolute, error of each record."""
        residuals = _residuals(outputs, targets)
        errors = residuals.square() if self.error == "squared" else residuals.abs()
        return errors.mean(1)

    def utility_of(self, mean: float) -> float:
        """Return the root of the mean squared error, or the mean absolute error itself."""
        return mean**0.5 if self.error == "squared" else mean

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return minus the logarithm of the loss, and the mean of output minus target."""
        residuals = _residuals(outputs, targets)
        logarithms = residuals.abs().clamp_min(SMALL).log()
        if self.error == "squared":
            logarithms = 2 * logarithms
        every = torch.ones_like(residuals, dtype=torch.bool)
        return torch.stack([-log_mean(logarithms, every), residuals.mean(1)], 1)

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return 2 (output - target) / K, or the sign of the difference / K."""
        residuals = _residuals(outputs, targets)
        slopes = 2 * residuals if self.error == "squared" else residuals.sign()
        return (slopes / residuals.shape[1]).reshape(outputs.shape)


def _residuals(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return output minus target, shape (n, K)."""
    flat = outputs.reshape(len(outputs), -1)
    return flat - targets.reshape(len(targets), -1).to(flat.dtype)
