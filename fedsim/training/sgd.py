"""The trainer `sgd`: epochs of mini-batch descent with the optimiser of `federation.local`."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim import plugins
from fedsim.config.federation import LocalTraining
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.training.augmentation import Augmentation, augmented
from fedsim.training.optimizers import optimizer_factory, optimizer_tensors, restore_optimizer
from fedsim.training.sgd_loop import run_epochs
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

LossFunction = Callable[[Tensor, Tensor], Tensor]


class SGD(LocalTrainer):
    """Mini-batch descent: the optimiser and learning rate are those of `federation.local`.

    Parameters
    ----------
    clip_norm
        Gradients of a step are scaled down to this Euclidean length where they are longer.
    class_weights
        One weight per class, of each record's loss (objective classification).
    label_smoothing
        Between 0 and 1: how much of the target is shared out to all classes (objective
        classification).
    augmentation
        Random changes of images in training: ``flip``, ``crop``, in this order.
    warmup
        The number of first rounds in which the learning rate rises in equal steps.
    schedule
        ``cosine``: after the warm-up the learning rate falls to 0 along a half cosine over the
        rounds that are left.
    loss
        Your own loss as ``module:function`` of outputs and targets, which returns a scalar or one
        value a record; figures of utility stay the objective's.
    """

    def __init__(
        self,
        clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
        class_weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        augmentation: tuple[Augmentation, ...] = (),
        warmup: Annotated[int, Field(ge=0)] = 0,
        schedule: Literal["constant", "cosine"] = "constant",
        loss: str | None = None,
    ) -> None:
        self.clip_norm = clip_norm
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.warmup = warmup
        self.schedule = schedule
        self.loss = None if loss is None else _loss_named(loss)

    @property
    def plain(self) -> bool:
        """Whether no setting changes plain descent."""
        changes = (self.clip_norm, self.class_weights, self.label_smoothing, self.augmentation)
        return not (any(changes) or self.warmup or self.schedule != "constant" or self.loss)

    def remembers(self, local: LocalTraining) -> bool:
        """Return whether the optimiser keeps anything, and is to."""
        factory = optimizer_factory(local.optimizer.name, local.optimizer.settings)
        return local.keep_optimizer_state and factory.remembers

    def require_fit(self, objective: Objective, local: LocalTraining) -> None:
        """Raise `ConfigError` where a setting is not of this objective."""
        if self.loss is not None and (self.class_weights or self.label_smoothing):
            raise ConfigError(
                "federation.local.trainer: class_weights and label_smoothing change the "
                "objective's loss, and `loss` replaces it; give one or the other"
            )
        optimizer_factory(local.optimizer.name, local.optimizer.settings)

    def rate(self, batches: Batches) -> float:
        """Return the learning rate of a round."""
        base, left = batches.learning_rate, batches.rounds - self.warmup
        if batches.round <= self.warmup:
            return base * batches.round / self.warmup
        if self.schedule == "constant":
            return base
        return base * (1 + math.cos(math.pi * (batches.round - self.warmup - 1) / left)) / 2

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Train `model` in place; `state.arrays` are what the optimiser keeps."""
        local = batches.local
        factory = optimizer_factory(local.optimizer.name, local.optimizer.settings)
        optimizer = factory(model.parameters(), self.rate(batches))
        if state.arrays and self.remembers(local):
            restore_optimizer(optimizer, state.arrays)
        change = partial(augmented, kinds=self.augmentation, generator=generator)
        figures = run_epochs(
            model,
            optimizer,
            batches,
            self._loss(batches.objective, device),
            change=change if self.augmentation else None,
            clip_norm=self.clip_norm,
        )
        state.arrays = optimizer_tensors(optimizer)
        return figures

    def _loss(self, objective: Objective, device: torch.device) -> LossFunction:
        """Return what is minimised."""
        if self.loss is not None:
            own: LossFunction = self.loss
            return lambda outputs, targets: own(outputs, targets).mean()
        weights = None
        if self.class_weights is not None:
            weights = torch.tensor(self.class_weights, device=device)
        return partial(
            objective.training_loss, class_weights=weights, label_smoothing=self.label_smoothing
        )


def _loss_named(name: str) -> LossFunction:
    if ":" not in name:
        raise ConfigError(
            f"federation.local.trainer: loss is {name!r}; valid: your own as module:function"
        )
    found = plugins.resolve("objectives", name)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        try:
            value = found(outputs, targets)
        except Exception as error:  # a user's function may raise anything
            message = f"{plugins.one_line(error)}{plugins.raised_in(error)}"
            raise ConfigError(f"federation.local.trainer: loss {name} failed: {message}") from error
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"federation.local.trainer: loss {name} returned a {type(value).__name__}; it must "
                "return a tensor, one value or one per record"
            )
        return value

    return loss
