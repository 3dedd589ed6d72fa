"""Classification: the cross-entropy of the true class."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fedsim.errors import ConfigError
from fedsim.objectives.base import Objective, RecordFit, UtilityFigure
from fedsim.objectives.log_odds import LogOdds


class Classification(Objective):
    """One class per record: outputs are logits (n, C), targets class numbers (n,)."""

    scalars: ClassVar[tuple[str, ...]] = (
        "log-odds of the label",  # log p_y - log(1 - p_y)
        "margin",  # true logit minus the best other
        "true logit",
        "others' log-sum-exp",  # of the other logits
    )

    utility: ClassVar[UtilityFigure] = UtilityFigure(
        "accuracy", "accuracy", percent=True, higher_is_better=True
    )

    def require_fit(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `ConfigError` unless outputs are (n, C) and targets class numbers below C."""
        if outputs.dim() != 2 or len(outputs) != len(targets):
            raise ConfigError(
                f"objective classification needs outputs of shape (n, classes), but for "
                f"{len(targets)} records the model returns {tuple(outputs.shape)}"
            )
        if (
            targets.dim() != 1
            or targets.is_floating_point()
            or int(targets.max()) >= outputs.shape[1]
        ):
            raise ConfigError(
                f"objective classification needs class numbers below {outputs.shape[1]}, the "
                f"number of the model's outputs, but the targets are {targets.dtype} of shape "
                f"{tuple(targets.shape)}, up to {float(targets.max()):g}"
            )
        if outputs.shape[1] > 1 and _are_probabilities(outputs):
            raise ConfigError(
                "objective classification needs logits, but the model's outputs are probabilities: "
                "every row sums to 1; leave out the softmax at its end, or end in log_softmax"
            )

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each record, in nats."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(outputs, targets)

    def training_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Return the mean cross-entropy, weighted by class and smoothed as PyTorch does."""
        if class_weights is not None and len(class_weights) != outputs.shape[1]:
            raise ConfigError(
                f"federation.local.trainer: class_weights has {len(class_weights)} weights for "
                f"{outputs.shape[1]} classes; give one per class"
            )
        return functional.cross_entropy(
            outputs, targets, class_weights, label_smoothing=label_smoothing
        )

    def sum_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the summed cross-entropy."""
        return functional.cross_entropy(outputs, targets, reduction="sum")

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return whether the largest logit is the true class's."""
        return outputs.detach().argmax(1) == targets

    def utility_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return whether each record is right: accuracy is their mean."""
        return self.correct(outputs, targets)

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return log-odds, margin, true logit and the others' log-sum-exp, without underflow."""
        column = targets[:, None]
        others = outputs.scatter(1, column, -torch.inf)
        true, rest = outputs.gather(1, column)[:, 0], others.logsumexp(1)
        return torch.stack([true - rest, true - others.amax(1), true, rest], 1)

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return softmax minus one-hot, the true class as minus the sum of the others."""
        column = targets[:, None]
        others = outputs.softmax(1).scatter(1, column, 0.0)
        return others.scatter(1, column, -others.sum(1, keepdim=True))

    def record_fit(self, outputs: Tensor, targets: Tensor) -> RecordFit:
        """Return all that attacks read, from the log-odds, without cancellation."""
        found = LogOdds.of(outputs, targets)
        return RecordFit(
            losses=functional.softplus(-found.log_odds),
            scalars=torch.stack([found.log_odds, found.margin, found.true, found.others], 1),
            direction=found.direction,
            log_scale=found.log_scale,
        )


_ROUNDING = 1e-3  # of a row's sum, in the lowest precision


def _are_probabilities(outputs: Tensor) -> bool:
    return bool((outputs >= 0).all() and ((outputs.sum(1) - 1).abs() < _ROUNDING).all())
