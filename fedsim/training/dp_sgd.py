"""The trainer `dp-sgd`: differentially private descent with Opacus (Abadi et al., CCS 2016).

Records are sampled for each step by coin tosses of their own (Poisson sampling), each record's
gradient is clipped (`fedsim.training.clipping`), and noise is added to their sum.
What the accountant needs, one entry a noise level and sampling rate, is kept as plain values, so
the epsilon of a participant counts all rounds in which it trained, through a stop and a resume.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.config.federation import LocalTraining
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.privacy import (
    Accountant,
    FederationFacts,
    Guarantee,
    NoGuarantee,
    Release,
    total_epsilon,
)
from fedsim.privacy.accountants import NoiseMultiplier
from fedsim.privacy.gaussian import SEED, SIZES, why_unbounded
from fedsim.privacy.guarantee import EVERYBODY
from fedsim.training.clipping import Clipping, StepNoise, choose_clipping
from fedsim.training.optimizers import optimizer_factory, optimizer_tensors, restore_optimizer
from fedsim.training.privacy_history import (
    epsilon_of_history,
    extended_history,
    rate_and_steps,
)
from fedsim.training.trainer import Batches, LocalTrainer, RecordIds, TrainerState

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
    physical_batch_size
        The most records that are computed at once: larger draws of a step are summed in parts,
        which takes less memory and changes nothing else.
    """

    def __init__(
        self,
        noise_multiplier: NoiseMultiplier = 1.0,
        clip_norm: Annotated[float, Field(gt=0, le=1e30)] = 1.0,
        delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
        budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
        accountant: Accountant = "rdp",
        physical_batch_size: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        self.noise_multiplier = noise_multiplier
        self.clip_norm = clip_norm
        self.delta = delta
        self.budget = budget
        self.accountant: Accountant = accountant
        self.physical_batch_size = physical_batch_size
        self._ways = WeakKeyDictionary[nn.Module, type[Clipping]]()
        _require_opacus()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; how a model is clipped is found there again."""
        return {**vars(self), "_ways": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what another process sent."""
        vars(self).update(state, _ways=WeakKeyDictionary())

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
        if batches.proximal:
            raise ConfigError(
                "federation.local.trainer dp-sgd has no proximal term; use another strategy than "
                "FedProx"
            )
        local = batches.local
        rate, steps = rate_and_steps(local, len(batches.records))
        factory = optimizer_factory(local.optimizer.name, local.optimizer.settings)
        optimizer = factory(model.parameters(), batches.learning_rate)
        if state.arrays and local.keep_optimizer_state and factory.remembers:
            restore_optimizer(optimizer, state.arrays)
        model.train()
        noise = StepNoise(self.noise_multiplier * self.clip_norm, model, generator)
        figures = _Sums()
        with self._way(model, batches)(model) as clipping, warnings.catch_warnings():
            # Records need no gradient, and PyTorch says so of Opacus's hooks.
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
            for _ in range(steps):
                chosen = torch.rand(len(batches.records), generator=generator) < rate
                drawn = batches.records[chosen.numpy()]
                sums = self._sum_of_clipped(model, batches, drawn, clipping, figures)
                for parameter in clipping.parameters:
                    if (total := sums.get(parameter)) is None:  # of nobody: noise alone
                        total = torch.zeros_like(parameter, requires_grad=False)
                    parameter.grad = noise.add_to(total).div_(rate * len(batches.records))
                optimizer.step()
        state.arrays = optimizer_tensors(optimizer)
        state.plain[HISTORY] = extended_history(
            state.plain.get(HISTORY, []), [self.noise_multiplier, rate, steps]
        )
        found = figures.means(batches.objective.utility.term)
        if self.noise_multiplier:
            found["epsilon"] = epsilon_of_history(state.plain[HISTORY], self.delta, self.accountant)
        return found

    def _way(self, model: nn.Module, batches: Batches) -> type[Clipping]:
        """Return how a model's gradients are clipped; found once a model."""
        if model not in self._ways:
            self._ways[model] = choose_clipping(model, batches)
        return self._ways[model]

    def _sum_of_clipped(
        self,
        model: nn.Module,
        batches: Batches,
        drawn: RecordIds,
        clipping: Clipping,
        figures: "_Sums",
    ) -> dict[nn.Parameter, Tensor]:
        """Return the sum of the clipped gradients of the records drawn; nothing of nobody."""
        objective, at_once = batches.objective, self.physical_batch_size or max(len(drawn), 1)
        total: dict[nn.Parameter, Tensor] = {}
        for start in range(0, len(drawn), at_once):
            inputs, targets = batches.of(drawn[start : start + at_once])
            outputs = model(inputs)
            loss = objective.mean_loss(outputs, targets)
            sums = clipping.clipped_sum(loss, len(targets), self.clip_norm)
            total = {p: total[p].add_(sums[p]) for p in total} if total else sums
            figures.add(objective, loss.detach(), outputs.detach(), targets)
        return total

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return the guarantee of a record, against everybody."""
        if why := why_unbounded(facts, self.noise_multiplier):
            return NoGuarantee(why)
        each = []
        for participant, records in enumerate(facts.records):
            if not records:  # it never trains
                each.append(0.0)
                continue
            rate, steps = rate_and_steps(facts.local, records)
            taken = steps * len(facts.rounds_of(participant))
            release = Release(self.noise_multiplier, rate, taken)
            each.append(total_epsilon((release,), self.delta, self.accountant))
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


@dataclass
class _Sums:
    """Figures of the training passes, summed over the records that were drawn."""

    loss: float = 0.0
    term: float = 0.0
    records: int = 0

    def add(self, objective: Objective, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Count a pass over a batch, given its mean loss."""
        self.loss += loss.item() * len(targets)
        self.term += objective.utility_terms(outputs, targets).sum().item()
        self.records += len(targets)

    def means(self, term: str) -> dict[str, float]:
        """Return the means, by name; none where nobody was drawn."""
        if not self.records:
            return {}
        return {"loss": self.loss / self.records, term: self.term / self.records}


def _require_opacus() -> Any:
    """Return Opacus, or say in one sentence how to install it."""
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
