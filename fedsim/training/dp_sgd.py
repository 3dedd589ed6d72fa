"""The trainer `dp-sgd`: differentially private descent with Opacus (Abadi et al., CCS 2016).

Records are sampled for each step by coin tosses of their own (Poisson sampling), each record's
gradient is clipped, and noise is added to their sum. What the accountant needs, one entry a noise
level and sampling rate, is kept as plain values, so the epsilon of a participant counts all rounds
in which it trained, through a stop and a resume.
"""

import math
from collections.abc import Mapping
from contextlib import closing
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from fedsim.config.experiment import LocalTraining
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.training.optimizers import optimizer_factory, optimizer_tensors, restore_optimizer
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

HISTORY = "accountant"
"""What of the state is the accountant's: a list of [noise, sampling rate, steps]."""


class DPSGD(LocalTrainer):
    """Differentially private mini-batch descent, with Opacus; needs ``fedsim[dp]``.

    The guarantee is for adding or removing a record of the participant, against everyone who sees
    all parameters that it ever uploads. It does not cover the figures of its training passes, which
    are sent besides, and holds as far as the experiment's seed, which the noise is drawn from, is
    not known. The expected size of a batch is `batch_size`, and an epoch has as many steps as
    without privacy.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise on the sum of a step's gradients, in multiples of
        `clip_norm`.
    clip_norm
        The Euclidean length that a record's gradient is scaled down to.
    delta
        The delta for which the participants report epsilon, as ``epsilon``.
    """

    def __init__(
        self,
        noise_multiplier: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0,
        clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0,
        delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
    ) -> None:
        self.noise_multiplier = noise_multiplier
        self.clip_norm = clip_norm
        self.delta = delta
        _opacus()

    def require_fit(self, objective: Objective, local: LocalTraining) -> None:
        """Raise `ConfigError` for settings of other trainers."""
        if local.precision != "fp32" or local.drop_last:
            raise ConfigError(
                "federation.local.trainer dp-sgd draws each step's records anew and computes in "
                "fp32; leave precision and drop_last out"
            )

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Train `model` in place; see the class."""
        opacus = _opacus()
        if batches.proximal:
            raise ConfigError(
                "federation.local.trainer dp-sgd has no proximal term; use another strategy than "
                "FedProx"
            )
        local, objective = batches.local, batches.objective
        rate = min(1.0, local.batch_size / len(batches.records))
        steps = local.epochs * math.ceil(len(batches.records) / local.batch_size)
        factory = optimizer_factory(local.optimizer.name, local.optimizer.settings)
        inner = factory(model.parameters(), batches.learning_rate)
        if state.arrays and local.keep_optimizer_state and factory.remembers:
            restore_optimizer(inner, state.arrays)
        model.train()
        private = opacus.GradSampleModule(model, loss_reduction="mean")
        optimizer = opacus.optimizers.DPOptimizer(
            inner,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.clip_norm,
            expected_batch_size=rate * len(batches.records),
            generator=generator,
        )
        losses = terms = seen = 0.0
        with closing(_Hooks(private)):
            for _ in range(steps):
                chosen = torch.rand(len(batches.records), generator=generator) < rate
                optimizer.zero_grad()
                if chosen.any():
                    inputs, targets = batches.of(batches.records[chosen.numpy()])
                    outputs = private(inputs)
                    loss = objective.mean_loss(outputs, targets)
                    loss.backward()  # type: ignore[no-untyped-call]
                    losses += loss.item() * len(targets)
                    terms += objective.utility_terms(outputs.detach(), targets).sum().item()
                    seen += len(targets)
                else:  # nobody was drawn: the step is noise alone
                    for parameter in optimizer.params:
                        parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
                optimizer.step()
        state.arrays = optimizer_tensors(inner)
        state.plain[HISTORY] = _longer(
            state.plain.get(HISTORY, []), [self.noise_multiplier, rate, steps]
        )
        figures = {"loss": losses / seen, objective.utility.term: terms / seen} if seen else {}
        if self.noise_multiplier:
            figures["epsilon"] = epsilon(state.plain[HISTORY], self.delta)
        return figures


def epsilon(history: list[list[float]], delta: float) -> float:
    """Return the epsilon of a participant's training so far (Renyi accountant of Opacus).

    Parameters
    ----------
    history
        One ``[noise multiplier, sampling rate, steps]`` a kind of step.
    delta
        The delta that it is for.
    """
    accountant = _opacus().accountants.RDPAccountant()
    accountant.history = [(noise, rate, int(steps)) for noise, rate, steps in history]
    return float(accountant.get_epsilon(delta))


def _longer(history: list[list[float]], new: list[float]) -> list[list[float]]:
    """Return a history with more steps; those like the last ones are counted with them."""
    if history and history[-1][:2] == new[:2]:
        return [*history[:-1], [*new[:2], history[-1][2] + new[2]]]
    return [*history, new]


class _Hooks:
    """What Opacus puts on a model, to be taken off again."""

    def __init__(self, private: Any) -> None:
        self._private = private

    def close(self) -> None:
        """Leave the model as it was."""
        self._private.to_standard_module()
        for parameter in self._private.parameters():
            for name in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
                if hasattr(parameter, name):
                    delattr(parameter, name)


def _opacus() -> Any:
    try:
        import opacus
        import opacus.accountants
        import opacus.optimizers
    except ImportError as error:
        raise ConfigError(
            "federation.local.trainer dp-sgd needs Opacus, which is not installed; "
            "pip install fedsim[dp]"
        ) from error
    return opacus
