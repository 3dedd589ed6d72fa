"""Next-token prediction: sequences of token ids, the mean loss of whose tokens is a record's."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fedsim.errors import ConfigError
from fedsim.objectives.base import Objective, UtilityFigure
from fedsim.objectives.stable import log_loss_of_odds, log_mean, mean_where

IGNORED = -100
"""The target of a position that does not count: padding, or a prompt."""
LARGEST_EXPONENT = 700.0


class NextToken(Objective):
    """Language modelling: outputs are logits (n, T, V), targets token ids (n, T).

    Targets are already shifted: position t's target is the token that follows it. Positions with
    target -100 do not count. The loss of a sequence is the mean over the tokens that count, so
    that a long sequence weighs as much as a short one; perplexity is ``exp`` of the mean loss.

    Examples
    --------
    >>> logits = torch.zeros(1, 3, 8)  # each of 8 tokens is equally likely
    >>> NextToken().per_record_loss(logits, torch.tensor([[5, 2, -100]]))
    tensor([2.0794])
    """

    scalars: ClassVar[tuple[str, ...]] = (
        "minus log loss",  # of the sequence; it goes on growing where the loss is 0 in float32
        "mean log-odds",  # of the true token
        "smallest log-odds",
    )
    utility: ClassVar[UtilityFigure] = UtilityFigure("perplexity", "loss")

    def require_fit(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `ConfigError` unless outputs are (n, T, V), targets token ids (n, T) below V."""
        if outputs.dim() != 3 or outputs.shape[:2] != targets.shape or targets.is_floating_point():
            raise ConfigError(
                "objective next-token needs outputs (n, tokens, vocabulary) and targets (n, "
                f"tokens) of token ids, but the model returns {tuple(outputs.shape)} for targets "
                f"{targets.dtype} of {tuple(targets.shape)}"
            )
        counted = targets != IGNORED
        found = targets[counted]
        if not bool(counted.any(1).all()):
            raise ConfigError(
                f"objective next-token: a sequence has no token that counts (all {IGNORED}); leave "
                "it out of the data"
            )
        if int(found.min()) < 0 or int(found.max()) >= outputs.shape[2]:
            raise ConfigError(
                f"objective next-token: targets run from {int(found.min())} to "
                f"{int(found.max())}; valid: 0 to {outputs.shape[2] - 1}, the model's outputs, "
                f"and {IGNORED}"
            )

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over each sequence's tokens, in nats."""
        losses = functional.cross_entropy(
            outputs.transpose(1, 2), targets, reduction="none", ignore_index=IGNORED
        )
        return losses.sum(1) / _counted(targets).sum(1)

    def utility_of(self, mean: float) -> float:
        """Return the perplexity, ``exp`` of the mean loss; a float holds no more than exp(700)."""
        return math.exp(min(mean, LARGEST_EXPONENT))

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return minus the logarithm of the loss, and mean and smallest log-odds of the tokens."""
        counted = _counted(targets)
        column = targets.masked_fill(~counted, 0)[:, :, None]
        others = outputs.scatter(2, column, -torch.inf)
        log_odds = outputs.gather(2, column)[:, :, 0] - others.logsumexp(2)
        log_loss = log_mean(log_loss_of_odds(log_odds), counted)
        smallest = log_odds.masked_fill(~counted, torch.inf).amin(1)
        return torch.stack([-log_loss, mean_where(log_odds, counted), smallest], 1)

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return softmax minus one-hot of each token over their number; 0 where none counts."""
        counted = _counted(targets)
        column = targets.masked_fill(~counted, 0)[:, :, None]
        others = outputs.softmax(2).scatter(2, column, 0.0)
        slopes = others.scatter(2, column, -others.sum(2, keepdim=True))
        weights = counted / counted.sum(1, keepdim=True)
        return slopes * weights[:, :, None]


def _counted(targets: Tensor) -> Tensor:
    return targets != IGNORED
