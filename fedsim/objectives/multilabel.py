"""Multi-label classification: any number of labels per record, each right or wrong by itself."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fedsim.errors import ConfigError
from fedsim.objectives.base import Objective, UtilityFigure
from fedsim.objectives.stable import log_loss_of_odds, log_mean


class MultiLabel(Objective):
    """Several labels per record: outputs are logits (n, C), targets (n, C) of zeros and ones.

    The loss of a record is the mean over its labels of the binary cross-entropy; its accuracy is
    the fraction of its labels that are right.

    Examples
    --------
    >>> MultiLabel().correct(torch.tensor([[2.0, -1.0]]), torch.tensor([[1, 1]]))
    tensor([False])
    """

    scalars: ClassVar[tuple[str, ...]] = (
        "minus log loss",  # of the record; it goes on growing where the loss is 0 in float32
        "mean log-odds",  # of the true value of each label
        "smallest log-odds",
    )
    utility: ClassVar[UtilityFigure] = UtilityFigure(
        "accuracy", "accuracy", percent=True, higher_is_better=True
    )

    def require_fit(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `ConfigError` unless outputs and targets are (n, C), and targets 0 or 1."""
        if outputs.dim() != 2 or outputs.shape != targets.shape:
            raise ConfigError(
                "objective multilabel needs outputs and targets of one shape, (n, labels), but the "
                f"model returns {tuple(outputs.shape)} for targets of {tuple(targets.shape)}"
            )
        if not bool(((targets == 0) | (targets == 1)).all()):
            raise ConfigError("objective multilabel needs targets of zeros and ones, one per label")

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean binary cross-entropy of each record's labels, in nats."""
        truth = targets.to(outputs.dtype)
        losses = functional.binary_cross_entropy_with_logits(outputs, truth, reduction="none")
        return losses.mean(1)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return whether all labels of a record are right."""
        return ((outputs.detach() > 0) == targets.bool()).all(1)

    def utility_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the fraction of each record's labels that are right."""
        return ((outputs.detach() > 0) == targets.bool()).float().mean(1)

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return minus the logarithm of the loss, and mean and smallest log-odds."""
        log_odds = torch.where(targets.bool(), outputs, -outputs)
        every = torch.ones_like(log_odds, dtype=torch.bool)
        log_loss = log_mean(log_loss_of_odds(log_odds), every)
        return torch.stack([-log_loss, log_odds.mean(1), log_odds.amin(1)], 1)

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return minus the probability of the wrong value, towards the true one, over C."""
        sign = targets.to(outputs.dtype) * 2 - 1
        return -sign * torch.sigmoid(-sign * outputs) / outputs.shape[1]
