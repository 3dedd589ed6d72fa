"""Training of attack networks: on known members and non-members, to score other records.

Networks are cross-fitted (see `crossfit`), so that the held-out records choose the epoch and give
scores on which a threshold may be chosen; all other records get the mean over the K networks.

The epoch is one choice for all folds, where the mean held-out loss is least. A choice of each fold
for itself would leak its held-out truth into its held-out scores.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adversaries.inference.crossfit import BoolArray, OnProgress, Positions, ScoreArray, folds
from adversaries.inference.epoch_scores import CandidateScores
from adversaries.inference.inputs import Inputs
from adversaries.inference.memory import Networks, require_network_fits
from adversaries.inference.network import (
    MembershipNetwork,
    NetworkPlan,
    NetworkSettings,
    membership_logits,
)
from adversaries.inference.standardiser import Standardiser
from fedsim import seeds
from fedsim.errors import ConfigError, DataError


@dataclass(frozen=True)
class SupervisedSettings:
    """How the attack network is trained.

    Attributes
    ----------
    network
        Its sizes; whose defaults the rest of the defaults suit (`plans` has the paper's).
    folds
        K, the number of parts of the known records.
    repeats
        How often the known records are cut anew; scores are means over the repeats.
    epochs
        Epochs trained; the best one is chosen on the held-out records.
    batch_size
        Half members, half non-members.
    learning_rate
        Of the encoder; AdamW, which without weight decay is Adam.
    component_learning_rate
        Of the components that read raw vectors. Lower, as they have thousands of weights for the
        few thousand records that are known.
    weight_decay
        Of all.
    schedule
        Learning rates fall to zero along a cosine, or stay.
    loss
        Squared error of the membership probability (the paper's), or its cross-entropy.
    """

    network: NetworkPlan = field(default_factory=NetworkSettings)
    folds: int = 5
    repeats: int = 1
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 6e-3
    component_learning_rate: float = 3e-4
    weight_decay: float = 0.1
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["squared-error", "cross-entropy"] = "cross-entropy"

    def __post_init__(self) -> None:
        least = {"folds": 2, "repeats": 1, "epochs": 1, "batch_size": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        for name in ("learning_rate", "component_learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """How many epochs are trained, of all networks."""
        return self.folds * self.repeats * self.epochs

    @property
    def networks(self) -> Networks:
        """What is trained, for the sake of the memory that it takes."""
        return Networks(
            self.network.build,
            self.folds * self.repeats,
            self.epochs,
            self.network.vector_snapshots,
        )


def fit_and_score(
    inputs: Inputs,
    member: BoolArray,
    candidates: Inputs,
    settings: SupervisedSettings,
    seed: int,
    progress: OnProgress | None = None,
) -> tuple[ScoreArray, ScoreArray]:
    """Train on the known records; score them (out of fold) and the candidates.

    Parameters
    ----------
    inputs
        What is read of the N known records, not standardised.
    member
        (N,) their truth.
    candidates
        The same of M other records.
    settings
        How to train.
    seed
        All randomness comes from it; the same seed gives the same scores, bit by bit.
    progress
        Called with the number of epochs trained so far, of all networks; there are
        `SupervisedSettings.steps`. One network over 200,000 outputs takes minutes.

    Returns
    -------
    (array, array)
        Membership logits (N,) of the known records, each by networks that have not seen it, and
        (M,) of the candidates.

    Raises
    ------
    DataError
        If truths and records differ in number, or a side has fewer records than there are folds.
    FedsimError
        If a network takes more memory than there is.
    """
    if len(member) != len(inputs):
        raise DataError(f"{len(inputs)} records are known but the truth of {len(member)} is given")
    read = settings.network.vector_snapshots
    inputs, candidates = inputs.latest(read), candidates.latest(read)
    require_network_fits(settings.network.build, inputs)
    held_out_scores, candidate_scores = np.zeros(len(inputs)), np.zeros(len(candidates))
    for repeat in range(settings.repeats):
        fits: list[_Fit] = []
        for rest, held_out in folds(member, settings.folds, seed, repeat):
            before = (repeat * settings.folds + len(fits)) * settings.epochs
            after_epoch = partial(_report_epochs, progress, before)
            with seeds.global_draws(seed, "attack network", repeat, len(fits)):
                fits.append(_fit(inputs, member, rest, held_out, candidates, settings, after_epoch))
        epoch = int(np.mean([fit.held_out_losses for fit in fits], axis=0).argmin())
        for fit in fits:
            held_out_scores[fit.held_out] += fit.held_out_scores[epoch] / settings.repeats
            candidate_scores += fit.scores(epoch) / (settings.repeats * settings.folds)
    return held_out_scores, candidate_scores


@dataclass(frozen=True)
class _Fit:
    """A network trained without one fold, and what it said after every epoch.

    `scores` gives those of the candidates after an epoch.
    """

    held_out: Positions
    held_out_scores: list[ScoreArray]
    held_out_losses: list[float]
    scores: Callable[[int], ScoreArray]


def _fit(
    inputs: Inputs,
    member: BoolArray,
    rest: Positions,
    held_out: Positions,
    candidates: Inputs,
    settings: SupervisedSettings,
    after_epoch: OnProgress,
) -> _Fit:
    raw = inputs.take(torch.from_numpy(rest))
    standardiser = Standardiser.fit(raw)
    training = standardiser.apply(raw)
    validation = standardiser.apply(inputs.take(torch.from_numpy(held_out)))
    truth, held_out_truth = (torch.from_numpy(member[part]).float() for part in (rest, held_out))
    network = settings.network.build(training)
    optimizer, schedule = _optimizer(network, truth, settings)
    series = CandidateScores(network, standardiser, candidates, settings.epochs)
    scores, losses = [], []
    for epoch in range(settings.epochs):
        network.train()
        for batch in balanced_batches(truth, settings.batch_size):
            optimizer.zero_grad()
            _loss(network(training.take(batch)), truth[batch], settings).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        logits = membership_logits(network, validation)
        losses.append(float(_loss(logits, held_out_truth, settings)))
        scores.append(logits.double().numpy())
        series.note_epoch()
        after_epoch(epoch + 1)
    return _Fit(held_out, scores, losses, series.after_training())


def _report_epochs(progress: OnProgress | None, before: int, epochs: int) -> None:
    if progress is not None:
        progress(before + epochs)


def _optimizer(
    network: MembershipNetwork, truth: Tensor, settings: SupervisedSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": network.encoder_parameters(), "lr": settings.learning_rate},
        {"params": network.component_parameters(), "lr": settings.component_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    steps = settings.epochs * sum(1 for _ in _batch_starts(truth, settings.batch_size))
    if settings.schedule == "constant":
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _loss(logits: Tensor, truth: Tensor, settings: SupervisedSettings) -> Tensor:
    if settings.loss == "squared-error":
        return (logits.sigmoid() - truth).square().mean()
    return F.binary_cross_entropy_with_logits(logits, truth)


def _batch_starts(truth: Tensor, batch_size: int) -> range:
    members = int(truth.sum())
    return range(0, max(members, len(truth) - members), batch_size // 2)


def balanced_batches(truth: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Give positions in batches, half members and half non-members, until each was given.

    The side with fewer records starts over, in a new order, until the other is through. Draws come
    from torch's global generator.
    """
    starts = _batch_starts(truth, batch_size)
    orders = []
    for side in (1, 0):
        positions = torch.nonzero(truth == side)[:, 0]
        passes = -(-starts.stop // len(positions))
        order = torch.cat([torch.randperm(len(positions)) for _ in range(passes)])
        orders.append(positions[order[: starts.stop]])
    for start in starts:
        yield torch.cat([order[start : start + starts.step] for order in orders])
