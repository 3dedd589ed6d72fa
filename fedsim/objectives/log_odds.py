"""Cross-entropy per record from the logits, without cancellation.

For confident predictions the probability is so close to one that ``softmax - onehot`` loses all
digits in single precision, and an attack targets exactly these members. Here everything is computed
from the other classes' logits, so the loss and its gradient keep full relative precision.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fedsim.errors import FedsimError


@dataclass(frozen=True)
class LogOdds:
    """The cross-entropy of N records and C classes, computed without cancellation.

    Attributes
    ----------
    log_odds : (N,)
        log p_y - log(1 - p_y): the true logit minus the log-sum-exp of the others.
    margin : (N,)
        The true logit minus the largest other.
    true, others : (N,)
        The true logit, and the log-sum-exp of the others.
    direction : (N, C)
        The gradient of the loss with respect to the logits, divided by 1 - p_y. With q the softmax
        over the *other* classes it is q there and -1 at the true class: nothing is subtracted from
        one, and a backward pass that starts with it cannot underflow.
    """

    log_odds: Tensor
    margin: Tensor
    true: Tensor
    others: Tensor
    direction: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> "LogOdds":
        """Take the logits (N, C) and labels (N,) apart.

        Raises
        ------
        FedsimError
            If there are fewer than 2 classes, a label lies outside them, or a logit is not finite.
        """
        if logits.dim() != 2:
            raise FedsimError(
                f"a classifier returns one row of logits a record, this model {tuple(logits.shape)}"
            )
        classes = logits.shape[1]
        lowest, highest = (int(bound) for bound in labels.aminmax())
        if classes < 2:
            raise FedsimError(f"a classifier needs at least 2 outputs, this model has {classes}")
        if lowest < 0 or highest >= classes:
            raise FedsimError(
                f"labels run from {lowest} to {highest}; valid for a model of {classes} outputs: "
                f"0..{classes - 1}"
            )
        if not logits.sum().isfinite():
            raise FedsimError(
                "the snapshot gives logits that are not finite: its training diverged"
            )
        column = labels[:, None]
        rivals = logits.scatter(1, column, -torch.inf)
        true, largest = logits.gather(1, column), rivals.amax(1, keepdim=True)
        odds = (rivals - largest).exp_()
        total = odds.sum(1, keepdim=True)
        others = largest + total.log()
        return cls(
            log_odds=(true - others)[:, 0],
            margin=(true - largest)[:, 0],
            true=true[:, 0],
            others=others[:, 0],
            direction=odds.div_(total).scatter_(1, column, -1.0),
        )

    @property
    def log_scale(self) -> Tensor:
        """log(1 - p_y), shape (N,)."""
        return F.logsigmoid(-self.log_odds)
