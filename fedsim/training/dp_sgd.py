"""The trainer `dp-sgd`: differentially private descent with Opacus (Abadi et al., CCS 2016).

Records are sampled for each step by coin tosses of their own (Poisson sampling), each record's
gradient is clipped, and noise is added to their sum. What the accountant needs, one entry a noise
level and sampling rate, is kept as plain values, so the epsilon of a participant counts all rounds
in which it trained, through a stop and a resume.
"""

import math
import warnings
from collections.abc import Mapping
from contextlib import closing
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from fedsim.config.federation import LocalTraining
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.privacy import Accountant, FederationFacts, Guarantee, NoGuarantee, Release, epsilon_of
from fedsim.privacy.accountants import NoiseMultiplier
from fedsim.privacy.gaussian import SEED, SIZES, why_unbounded
from fedsim.privacy.guarantee import EVERYBODY
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
        The delta for which epsilon is given; participants report theirs so far, as ``epsilon``.
    budget
        The largest epsilon; the federation ends before the round that would exceed it.
    accountant
        ``rdp`` or ``prv`` of Opacus, or ``pld`` of dp-accounting.
    """

    def __init__(
        self,
        noise_multiplier: NoiseMultiplier = 1.0,
        clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0,
        delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
        budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
        accountant: Accountant = "rdp",
    ) -> None:
        self.noise_multiplier = noise_multiplier
        self.clip_norm = clip_norm
        self.delta = delta
        self.budget = budget
        self.accountant: Accountant = accountant
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
        rate, steps = rate_and_steps(local, len(batches.records))
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
        with closing(_Hooks(private)), warnings.catch_warnings():
            # Records need no gradient, and PyTorch says so of Opacus's hooks.
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
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
            figures["epsilon"] = epsilon(state.plain[HISTORY], self.delta, self.accountant)
        return figures

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return the guarantee of a record, against everybody."""
        if why := why_unbounded(facts, self.noise_multiplier):
            return NoGuarantee(why)
        each = []
        for participant, records in enumerate(facts.records):
            rate, steps = rate_and_steps(facts.local, records)
            taken = steps * len(facts.rounds_of(participant))
            release = Release(self.noise_multiplier, rate, taken)
            each.append(epsilon_of((release,), self.delta, self.accountant))
        return Guarantee(
            max(each),
            self.delta,
            "record",
            EVERYBODY,
            (
                "the loss and accuracy that participants report beside are not looked at",
                SIZES,
                SEED,
            ),
            tuple(each),
            accountant=self.accountant,
        )


def rate_and_steps(local: LocalTraining, records: int) -> tuple[float, int]:
    """Return with what probability a record is drawn for a step, and how many steps a round has."""
    rate = min(1.0, local.batch_size / records)
    return rate, local.epochs * math.ceil(records / local.batch_size)


def epsilon(history: list[list[float]], delta: float, accountant: Accountant = "rdp") -> float:
    """Return the epsilon of a participant's training so far.

    Parameters
    ----------
    history
        One ``[noise multiplier, sampling rate, steps]`` a kind of step.
    delta, accountant
        The delta that it is for, and whose figure it is.
    """
    taken = tuple(Release(noise, rate, int(steps)) for noise, rate, steps in history)
    return epsilon_of(taken, delta, accountant)


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
