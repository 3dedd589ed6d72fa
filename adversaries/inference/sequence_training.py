"""Small networks over what each round says of a record, cross-fitted on the known records."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from adversaries.inference.crossfit import folds
from adversaries.inference.feature_cache import positions
from fedsim import seeds
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.progress import Watcher

Floats = NDArray[np.float64]
Build = Callable[[int, int], nn.Module]
"""From the number of rounds and of columns to a network: (B, T, S) to logits (B,)."""

_FOLDS = 5
_BATCH = 64
_FARTHEST = 5.0  # standard deviations; what lies farther out is moved there


def cross_fitted(
    view: View,
    series: Floats,
    known: AuxiliaryRecords,
    candidates: RecordIds,
    build: Build,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    watcher: Watcher,
    name: str,
) -> Floats:
    """Train on the known records; return membership logits, a known record's out of fold.

    Parameters
    ----------
    view
        Whose records they are.
    series
        What is read of all audited records, (N, T, S), not standardised.
    known, candidates
        What is learned from, and what is scored.
    build
        Makes a network.
    epochs, learning_rate
        Settings of Adam; the learning rate decays to zero along a cosine.
    seed, watcher, name
        Seed of all draws, the watcher, and the name of the attack.
    """
    places, device = positions(view, known.records), view.dataset.device
    scores = np.zeros(len(series))
    held_scores = np.zeros(len(places))
    parts = folds(known.member, _FOLDS, seed)
    with watcher.task(name, len(parts)) as advance:
        for number, (rest, held_out) in enumerate(parts):
            learned = series[places[rest]]
            mean, spread = learned.mean(0), learned.std(0)
            scaled = (series - mean) / np.where(spread > 0, spread, 1.0)
            clipped = torch.from_numpy(np.clip(scaled, -_FARTHEST, _FARTHEST))
            inputs = clipped.float().to(device)
            with seeds.global_draws(seed, name, number, device=device):
                network = build(*series.shape[1:]).to(device)
                truth = torch.from_numpy(known.member[rest]).float().to(device)
                _train(network, inputs[places[rest]], truth, epochs, learning_rate)
            network.eval()
            with torch.no_grad():
                logits = network(inputs).cpu().double().numpy()
            scores += logits / len(parts)
            held_scores[held_out] = logits[places[held_out]]
            advance(f"{number + 1} of {len(parts)}")
    scores[places] = held_scores
    found: Floats = scores[positions(view, candidates)]
    return found


def fitted_elsewhere(
    learned: Floats,
    member: NDArray[np.bool_],
    series: Floats,
    build: Build,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    name: str,
    device: torch.device,
) -> Floats:
    """Train on records of federations of one's own; return membership logits of others.

    Parameters
    ----------
    learned, member
        What is read of the records that are learned from, (M, T, S), and their truth, (M,).
    series
        The same of the records that are scored, (N, T, S).
    build, epochs, learning_rate, seed, name
        As in `cross_fitted`.
    device
        Where the network trains.
    """
    mean, spread = learned.mean(0), learned.std(0)

    def scaled(values: Floats) -> Tensor:
        standard = (values - mean) / np.where(spread > 0, spread, 1.0)
        return torch.from_numpy(np.clip(standard, -_FARTHEST, _FARTHEST)).float().to(device)

    with seeds.global_draws(seed, name, device=device):
        network = build(*series.shape[1:]).to(device)
        truth = torch.from_numpy(member).float().to(device)
        _train(network, scaled(learned), truth, epochs, learning_rate)
    network.eval()
    with torch.no_grad():
        logits: Floats = network(scaled(series)).cpu().double().numpy()
    return logits


def _train(
    network: nn.Module, inputs: Tensor, truth: Tensor, epochs: int, learning_rate: float
) -> None:
    """Minimise the cross-entropy, each side weighing one half."""
    share = float(truth.mean())
    weights = torch.where(truth > 0, 0.5 / share, 0.5 / (1 - share))
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    network.train()
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(truth)), _BATCH):
            if len(batch) < 2:  # batch normalisation takes two
                continue
            optimizer.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(
                network(inputs[batch]), truth[batch], weights[batch]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
