"""Participants train on mixtures of two records (mixup).

Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018): a batch is mixed with a
shuffled copy of itself, inputs as ``lambda x + (1 - lambda) x'`` and losses in the same way, with
one lambda per batch from Beta(alpha, alpha).
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

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
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState


class Mixup(ChangedTraining):
    """Participants train on convex combinations of pairs of records.

    Parameters
    ----------
    alpha
        Parameter of the Beta distribution of the weights: near 0 the records are hardly mixed, 1 is
        uniform.
    """

    def __init__(self, alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0) -> None:
        self.alpha = require_positive("alpha", alpha)

    def in_words(self) -> str:
        """Return what it does."""
        return f"participants train on mixtures of two records, mixup with alpha {self.alpha:g}"

    def wrap_trainer(self, trainer: LocalTrainer) -> LocalTrainer:
        """Return the trainer on mixed batches."""
        return _MixingTrainer(trainer, self.alpha)


class _Mixture:
    """Mixes batches, and remembers what was mixed into the one that is trained on at the moment."""

    def __init__(self, alpha: float, generator: torch.Generator) -> None:
        self._draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        self._alpha = alpha
        self.weight, self.partners = 1.0, torch.empty(0, dtype=torch.int64)

    def mix(self, inputs: Tensor) -> Tensor:
        """Return the inputs of a batch, mixed."""
        if not inputs.is_floating_point():
            raise ConfigError(
                f"mixup mixes features that are real numbers, but the data's are {inputs.dtype}; "
                "leave mixup out of defences"
            )
        self.weight = self._draws.beta(self._alpha, self._alpha)
        self.partners = torch.from_numpy(self._draws.permutation(len(inputs)))
        return self.weight * inputs + (1 - self.weight) * inputs[self.partners]


class _MixingTrainer(WrappedTrainer):
    def __init__(self, inner: LocalTrainer, alpha: float) -> None:
        super().__init__(inner)
        self._alpha = alpha

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        mixture = _Mixture(self._alpha, generator)
        objective = _MixedObjective(batches.objective, mixture)
        mixed = changed_batches(batches, objective, mixture.mix)
        figures = self.inner.fit(model, mixed, state, generator, device)
        require_iterated(mixed, self.inner, "mixup")
        return figures


class _MixedObjective(WrappedObjective):
    def __init__(self, inner: Objective, mixture: _Mixture) -> None:
        super().__init__(inner)
        self._mixture = mixture

    def training_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        weight, partners = self._mixture.weight, self._mixture.partners
        own, other = (
            self.inner.training_loss(
                outputs, one, class_weights=class_weights, label_smoothing=label_smoothing
            )
            for one in (targets, targets[partners])
        )
        return weight * own + (1 - weight) * other
