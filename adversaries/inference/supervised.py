"""The supervised attack: learn from known members and non-members, score everybody else.

Networks are cross-fitted (see `crossfit`), so that the held-out records choose the epoch and give
scores on which a threshold may be chosen; everybody else gets the mean over the K networks.

The epoch is one choice for all folds, where the mean held-out loss is least. A choice of each fold
for itself would leak its held-out truth into its held-out scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adversaries.inference.crossfit import BoolArray, Positions, Progress, Scores, folds
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.inputs import Inputs, Standardiser, stack
from adversaries.inference.network import AttackNetwork, NetworkSettings
from fedsim import seeds
from fedsim.errors import ConfigError, DataError


@dataclass(frozen=True)
class SupervisedSettings:
    """How the attack network is trained.

    Attributes
    ----------
    network
        Its sizes.
    folds
        K, the number of parts of the known records.
    repeats
        How often the known records are cut anew; scores are means over the repeats.
    epochs
        Epochs trained; the best one is chosen on the held-out records.
    batch_size
        Half members, half non-members.
    learning_rate
        Of the encoder; AdamW, falling to zero along a cosine.
    component_learning_rate
        Of the components that read raw vectors. Lower, as they have thousands of weights for the
        few thousand records that are known.
    weight_decay
        Of all.
    loss
        Squared error of the membership probability (the paper's), or its cross-entropy.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    folds: int = 5
    repeats: int = 1
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 6e-3
    component_learning_rate: float = 3e-4
    weight_decay: float = 0.1
    loss: Literal["squared-error", "cross-entropy"] = "cross-entropy"

    def __post_init__(self) -> None:
        least = {"folds": 2, "repeats": 1, "epochs": 1, "batch_size": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        for name in ("learning_rate", "component_learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")


def fit_and_score(
    known: Sequence[SnapshotFeatures],
    member: BoolArray,
    candidates: Sequence[SnapshotFeatures],
    settings: SupervisedSettings,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Scores, Scores]:
    """Train on the known records; score them (out of fold) and the candidates.

    Parameters
    ----------
    known
        Features of the N known records, an entry a snapshot.
    member
        (N,) their truth.
    candidates
        Features of M other records on the same snapshots.
    settings
        How to train.
    seed
        All randomness comes from it; the same seed gives the same scores, bit by bit.
    progress
        Called with the number of networks trained so far; there are folds x repeats.

    Returns
    -------
    (Scores, Scores)
        Membership logits (N,) of the known records, each by networks that have not seen it, and
        (M,) of the candidates.

    Raises
    ------
    DataError
        If truths and records differ in number, or a side has fewer records than there are folds.
    SnapshotError
        If snapshots disagree on the records.
    """
    inputs, others = stack(known), stack(candidates)
    if len(member) != len(inputs):
        raise DataError(f"{len(inputs)} records are known but the truth of {len(member)} is given")
    held_out_scores, candidate_scores = np.zeros(len(inputs)), np.zeros(len(others))
    for repeat in range(settings.repeats):
        fits: list[_Fit] = []
        for rest, held_out in folds(member, settings.folds, seed, repeat):
            with seeds.global_draws(seed, "attack network", repeat, len(fits)):
                fits.append(_fit(inputs, member, rest, held_out, settings))
            if progress is not None:
                progress(repeat * settings.folds + len(fits))
        epoch = int(np.mean([fit.held_out_losses for fit in fits], axis=0).argmin())
        for fit in fits:
            own = inputs.take(torch.from_numpy(fit.held_out))
            held_out_scores[fit.held_out] += fit.score(own, epoch) / settings.repeats
            candidate_scores += fit.score(others, epoch) / (settings.repeats * settings.folds)
    return held_out_scores, candidate_scores


@dataclass(frozen=True)
class _Fit:
    """A network trained without one fold, as it was after every epoch."""

    network: AttackNetwork
    standardiser: Standardiser
    held_out: Positions
    states: list[dict[str, Tensor]]
    held_out_losses: list[float]

    def score(self, raw: Inputs, epoch: int) -> Scores:
        """Return the membership logits of records after that epoch."""
        self.network.load_state_dict(self.states[epoch])
        with torch.no_grad():
            logits: Scores = self.network(self.standardiser.apply(raw)).double().numpy()
        return logits


def _fit(
    inputs: Inputs,
    member: BoolArray,
    rest: Positions,
    held_out: Positions,
    settings: SupervisedSettings,
) -> _Fit:
    raw = inputs.take(torch.from_numpy(rest))
    standardiser = Standardiser.fit(raw)
    training = standardiser.apply(raw)
    validation = standardiser.apply(inputs.take(torch.from_numpy(held_out)))
    truth, held_out_truth = (torch.from_numpy(member[part]).float() for part in (rest, held_out))
    network = AttackNetwork(training, settings.network)
    optimizer, schedule = _optimizer(network, truth, settings)
    states, losses = [], []
    for _ in range(settings.epochs):
        network.train()
        for batch in balanced_batches(truth, settings.batch_size):
            optimizer.zero_grad()
            _loss(network(training.take(batch)), truth[batch], settings).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            losses.append(float(_loss(network(validation), held_out_truth, settings)))
        states.append({name: value.clone() for name, value in network.state_dict().items()})
    return _Fit(network, standardiser, held_out, states, losses)


def _optimizer(
    network: AttackNetwork, truth: Tensor, settings: SupervisedSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": network.encoder_parameters(), "lr": settings.learning_rate},
        {"params": network.component_parameters(), "lr": settings.component_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    steps = settings.epochs * sum(1 for _ in _batch_starts(truth, settings.batch_size))
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
