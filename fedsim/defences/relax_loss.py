"""Participants hold the loss of their training records at a level (RelaxLoss).

Chen, Yu and Fritz, "RelaxLoss: Defending Membership Inference Attacks without Losing Utility" (ICLR
2022), algorithm 1: a batch whose mean loss lies above the level is trained on as usual. Below it,
epochs take turns: in one the loss ascends, in the next the model is fitted to flattened
posteriors, its own probability of the true class, and the rest spread evenly over the others.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.config.federation import LocalTraining
from fedsim.defences.base import require_positive
from fedsim.defences.wrapped_training import (
    ChangedTraining,
    WrappedObjective,
    WrappedTrainer,
    changed_batches,
    require_iterated,
)
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.objectives.classification import Classification
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState


class RelaxLoss(ChangedTraining):
    """Participants keep the loss of their training records from falling below a level.

    Parameters
    ----------
    level
        The mean loss of a batch, in nats, below which training turns around; the paper's alpha.
    """

    def __init__(self, level: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0) -> None:
        self.level = require_positive("level", level)

    def in_words(self) -> str:
        """Return what it does."""
        return f"participants hold the loss of their training records at {self.level:g} (RelaxLoss)"

    def wrap_trainer(self, trainer: LocalTrainer) -> LocalTrainer:
        """Return the trainer with the relaxed loss."""
        return _RelaxedTrainer(trainer, self.level)


class _RelaxedTrainer(WrappedTrainer):
    def __init__(self, inner: LocalTrainer, level: float) -> None:
        super().__init__(inner)
        self._level = level

    def require_fit(self, objective: Objective, local: LocalTraining) -> None:
        if not isinstance(objective, Classification):
            raise ConfigError(
                "relax-loss is a defence for objective classification, not for "
                f"{type(objective).__name__}; leave it out of defences"
            )
        super().require_fit(objective, local)

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        objective = RelaxedObjective(batches.objective, self._level)
        changed = changed_batches(batches, objective)
        before = (batches.round - 1) * batches.local.epochs
        objective.epoch = lambda: before + changed.epochs[0]
        figures = self.inner.fit(model, changed, state, generator, device)
        require_iterated(changed, self.inner, "relax-loss")
        return figures


class RelaxedObjective(WrappedObjective):
    """An objective whose training turns around below a level of the loss.

    Parameters
    ----------
    inner
        The objective that is relaxed.
    level
        See `RelaxLoss`.

    Attributes
    ----------
    epoch
        Returns the number of the epoch of the whole training, from 1; odd ones ascend.
    """

    def __init__(self, inner: Objective, level: float) -> None:
        super().__init__(inner)
        self.level = level
        self.epoch: Callable[[], int] = lambda: 1

    def training_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Return the scalar to descend on for this batch."""
        loss = self.inner.training_loss(
            outputs, targets, class_weights=class_weights, label_smoothing=label_smoothing
        )
        if loss.item() >= self.level:
            return loss
        if self.epoch() % 2:
            return self.level - loss
        return _flattened_loss(outputs, targets)


def _flattened_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy with flattened posteriors, which are constants."""
    column = targets[:, None]
    logs = outputs.log_softmax(1)
    true = logs.detach().gather(1, column).exp()
    rest = (1 - true) / max(1, outputs.shape[1] - 1)
    soft = rest.expand_as(logs).scatter(1, column, true)
    return -(soft * logs).sum(1).mean()
