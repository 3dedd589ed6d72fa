"""Attack networks trained in stacks: those of several folds, repeats and attack seeds at a time.

How many stand in one stack follows from sizes alone, never from what else is attacked: a stack
holds what each of its networks reads, and their weights after every epoch. Networks stand together
that take as many batches an epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from adversaries.inference import epoch_scores
from adversaries.inference.crossfit import BoolArray, OnProgress, Positions, ScoreArray
from adversaries.inference.epoch_scores import CandidateScores
from adversaries.inference.inputs import Inputs
from adversaries.inference.memory import network_weights
from adversaries.inference.network import MembershipNetwork, membership_logits
from adversaries.inference.network_stack import (
    inputs_side_by_side,
    stacked_network,
    taken_by_each,
)
from adversaries.inference.standardiser import Standardiser
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import seeds

MOST_BYTES = 2**28
"""Of what the networks of a stack read of the known records: 256 MB."""


@dataclass(frozen=True)
class NetworkFold:
    """A network that is to be trained: its attack seed, repeat and fold, and the records of each.

    Attributes
    ----------
    seed, repeat, number
        Which one it is; they name its draws.
    rest, held_out
        Positions of the known records that it learns from, and of those that it does not.
    """

    seed: int
    repeat: int
    number: int
    rest: Positions
    held_out: Positions


@dataclass(frozen=True)
class FittedNetwork:
    """A network trained without one fold, and what it said after every epoch.

    `scores` gives those of the candidates after an epoch.
    """

    fold: NetworkFold
    held_out_scores: list[ScoreArray]
    held_out_losses: list[float]
    scores: Callable[[int], ScoreArray]


def fit_networks(
    inputs: Inputs,
    member: BoolArray,
    candidates: Inputs,
    settings: SupervisedSettings,
    networks: Sequence[NetworkFold],
    progress: OnProgress | None = None,
) -> list[FittedNetwork]:
    """Train a network for each fold, as many at a time as `stack_size` says.

    Parameters
    ----------
    inputs, member, candidates, settings, progress
        As in `network_training.fit_and_score`.
    networks
        What is trained.
    """
    fits: list[FittedNetwork] = []
    at_once = stack_size(inputs, settings)

    def after_epoch(trained: int) -> None:
        for more in range(trained):
            if progress is not None:
                progress(reported + more + 1)

    reported = 0
    by_length = sorted(networks, key=lambda fold: _longer_side(member[fold.rest]))
    for _, alike in groupby(by_length, key=lambda fold: _longer_side(member[fold.rest])):
        together = list(alike)
        for start in range(0, len(together), at_once):
            stack = _Stack(inputs, member, together[start : start + at_once], candidates, settings)
            for _ in range(settings.epochs):
                stack.train_epoch()
                after_epoch(len(stack.folds))
                reported += len(stack.folds)
            fits += stack.fitted()
            del stack
    return fits


def stack_size(inputs: Inputs, settings: SupervisedSettings) -> int:
    """Return how many networks stand in a stack at most, from sizes alone."""
    weights = network_weights(settings.network.build, inputs)
    bytes_read = sum(part.numel() * part.element_size() for part in inputs.parts)
    by_weights = epoch_scores.MOST_WEIGHTS // max(1, weights * settings.epochs)
    return max(1, min(by_weights, MOST_BYTES // max(1, bytes_read)))


class _Stack:
    """The networks of some folds, in training."""

    def __init__(
        self,
        inputs: Inputs,
        member: BoolArray,
        folds: Sequence[NetworkFold],
        candidates: Inputs,
        settings: SupervisedSettings,
    ) -> None:
        self.folds, self._settings = folds, settings
        prepared = [_Prepared(inputs, member, fold, settings) for fold in folds]
        self._truths = [one.truth for one in prepared]
        self._generators = [one.generator for one in prepared]
        self._training = inputs_side_by_side([one.training for one in prepared])
        self._validation = inputs_side_by_side([one.validation for one in prepared])
        self._held_out_truths = [torch.from_numpy(member[fold.held_out]).float() for fold in folds]
        standardisers = [one.standardiser for one in prepared]
        self._network = stacked_network([one.network for one in prepared], self._generators)
        self._optimizer, self._schedule = _optimizer(self._network, self._truths[0], settings)
        self._series = CandidateScores(self._network, standardisers, candidates, settings.epochs)
        self._scores: list[list[ScoreArray]] = [[] for _ in folds]
        self._losses: list[list[float]] = [[] for _ in folds]

    def train_epoch(self) -> None:
        """Train an epoch, and note what each network says of its held-out records."""
        self._network.train()
        batches = [
            balanced_batches(truth, self._settings.batch_size, generator)
            for truth, generator in zip(self._truths, self._generators, strict=True)
        ]
        for each in zip(*batches, strict=True):
            truth = torch.stack([t[batch] for t, batch in zip(self._truths, each, strict=True)])
            logits = self._network(taken_by_each(self._training, torch.stack(each)))
            self._optimizer.zero_grad()
            # A sum over networks: the gradient of each is that of its own mean.
            _losses(logits, truth, self._settings).mean(1).sum().backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
        logits = membership_logits(self._network, self._validation)
        for place, truth in enumerate(self._held_out_truths):
            own = logits[place, : len(truth)]
            self._losses[place].append(float(_losses(own, truth, self._settings).mean()))
            self._scores[place].append(own.double().numpy())
        self._series.note_epoch()

    def fitted(self) -> list[FittedNetwork]:
        """Return the networks, trained."""
        return [
            FittedNetwork(
                fold, self._scores[place], self._losses[place], self._series.after_training(place)
            )
            for place, fold in enumerate(self.folds)
        ]


class _Prepared:
    """What one network of a stack starts with."""

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


def _longer_side(member: BoolArray) -> int:
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
