"""Attack networks of several folds in training, as a stack with their inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from adversaries.inference.crossfit import BoolArray, Positions, ScoreArray
from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork, membership_logits
from adversaries.inference.network_stack import (
    inputs_side_by_side,
    stacked_network,
    taken_by_each,
)
from adversaries.inference.standardiser import Standardiser
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import seeds

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class NetworkFold:
    """A network to train: its attack seed, repeat and fold, and its records.

    Attributes
    ----------
    seed, repeat, number
        Its identity, which names its random draws.
    rest, held_out
        Positions of the known records that it learns from, and of those that it does not.
    """

    seed: int
    repeat: int
    number: int
    rest: Positions
    held_out: Positions


@dataclass(frozen=True)
class HeldOut:
    """A network's logits of its held-out records, and their mean loss."""

    scores: ScoreArray
    loss: float


class FoldStack:
    """The networks of some folds, in training; those of the folds take as many batches an epoch.

    Parameters
    ----------
    inputs, member, settings
        As in `network_training.fit_and_score`.
    folds
        What is trained.
    """

    def __init__(
        self,
        inputs: Inputs,
        member: BoolArray,
        folds: Sequence[NetworkFold],
        settings: SupervisedSettings,
    ) -> None:
        self.folds, self._settings = folds, settings
        prepared = [_Prepared(inputs, member, fold, settings) for fold in folds]
        self._truths = [one.truth for one in prepared]
        self._generators = [one.generator for one in prepared]
        self._training = inputs_side_by_side([one.training for one in prepared])
        self._validation = inputs_side_by_side([one.validation for one in prepared])
        self._held_out_truths = [torch.from_numpy(member[fold.held_out]).float() for fold in folds]
        self._standardisers = [one.standardiser for one in prepared]
        networks = [one.network for one in prepared]
        self._network = stacked_network(networks, self._generators).to(inputs.device)
        self._optimizer, self._schedule = _optimizer(self._network, self._truths[0], settings)

    def train_epoch(self) -> list[HeldOut]:
        """Train an epoch; return each network's held-out logits and loss."""
        self._network.train()
        batches = [
            balanced_batches(truth, self._settings.batch_size, generator)
            for truth, generator in zip(self._truths, self._generators, strict=True)
        ]
        for each in zip(*batches, strict=True):
            truths = [t[batch] for t, batch in zip(self._truths, each, strict=True)]
            truth = torch.stack(truths).to(self._training.device)
            logits = self._network(taken_by_each(self._training, torch.stack(each)))
            self._optimizer.zero_grad()
            # A sum over networks: the gradient of each is that of its own mean.
            _losses(logits, truth, self._settings).mean(1).sum().backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
        logits = membership_logits(self._network, self._validation).cpu()
        found = []
        for of_one, truth in zip(logits, self._held_out_truths, strict=True):
            own = of_one[: len(truth)]
            loss = float(_losses(own, truth, self._settings).mean())
            found.append(HeldOut(own.double().numpy(), loss))
        return found

    def weights(self, place: int) -> Weights:
        """Return a copy of one network's parameters, as a stack of one."""
        own = self._network.named_parameters()
        return {name: value.detach()[place : place + 1].clone() for name, value in own}

    def candidate_scores(
        self, place: int, candidates: Inputs, weights: Weights | None = None
    ) -> ScoreArray:
        """Return the membership logits of records by one network, as it is or with `weights`."""
        own = self.weights(place) if weights is None else weights
        read = inputs_side_by_side([self._standardisers[place].apply(candidates).summarised])
        scores: ScoreArray = membership_logits(self._network, read, own)[0].cpu().double().numpy()
        return scores

    def release(self) -> None:
        """Release the memory that only training needs."""
        self._network.zero_grad()
        self._optimizer.state.clear()


class _Prepared:
    """The initial state of one network of a stack."""

    def __init__(
        self, inputs: Inputs, member: BoolArray, fold: NetworkFold, settings: SupervisedSettings
    ) -> None:
        raw = inputs.take(torch.from_numpy(fold.rest))
        self.standardiser = Standardiser.fit(raw)
        self.training = self.standardiser.apply(raw).summarised
        held_out = inputs.take(torch.from_numpy(fold.held_out))
        self.validation = self.standardiser.apply(held_out).summarised
        self.truth = torch.from_numpy(member[fold.rest]).float()
        self.generator = torch.Generator()
        with seeds.global_draws(fold.seed, "attack network", fold.repeat, fold.number):
            self.network = settings.network.build(self.training)
            self.generator.set_state(torch.get_rng_state())  # batches and dropout follow


def _optimizer(
    network: MembershipNetwork, truth: Tensor, settings: SupervisedSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": network.encoder_parameters(), "lr": settings.learning_rate},
        {"params": network.component_parameters(), "lr": settings.component_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    steps = settings.epochs * len(_batch_starts(truth, settings.batch_size))
    if settings.schedule == "constant":
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _losses(logits: Tensor, truth: Tensor, settings: SupervisedSettings) -> Tensor:
    """Return the loss of each record."""
    if settings.loss == "squared-error":
        return (logits.sigmoid() - truth).square()
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")


def longer_side(member: BoolArray) -> int:
    """Return the number of records on the larger side."""
    members = int(member.sum())
    return max(members, len(member) - members)


def _batch_starts(truth: Tensor, batch_size: int) -> range:
    members = int(truth.sum())
    return range(0, max(members, len(truth) - members), batch_size // 2)


def balanced_batches(
    truth: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """Give positions in batches, half members and half non-members, until each was given.

    The side with fewer records starts over, in a new order, until the other is through. Draws come
    from `generator`, by default torch's global one.
    """
    starts = _batch_starts(truth, batch_size)
    orders = []
    for side in (1, 0):
        positions = torch.nonzero(truth == side)[:, 0]
        passes = -(-starts.stop // len(positions))
        order = torch.cat(
            [torch.randperm(len(positions), generator=generator) for _ in range(passes)]
        )
        orders.append(positions[order[: starts.stop]])
    for start in starts:
        yield torch.cat([order[start : start + starts.step] for order in orders])
