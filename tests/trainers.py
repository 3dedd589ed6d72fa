"""Local trainers, losses and models of the user's own, as experiments of the tests name them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.data import Arrays
from fedsim.training import Batches, LocalTrainer, TrainerState


class Averaging(LocalTrainer):
    """Descent along a running mean of gradients, which steps less often the longer it trains.

    It keeps both kinds of state: the mean as arrays, and as plain values how often it trained and
    what its losses were. Its draws are from the generator that it is given.
    """

    def __init__(self, decay: float = 0.5) -> None:
        self.decay = decay

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Train on one noisy pass."""
        model.train()
        losses: list[float] = state.plain.setdefault("losses", [])
        for inputs, targets in batches:
            noisy = inputs + 0.01 * torch.randn(inputs.shape, generator=generator)
            loss = batches.objective.mean_loss(model(noisy), targets)
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                mean = state.arrays.get(name, torch.zeros_like(parameter))
                assert parameter.grad is not None
                state.arrays[name] = self.decay * mean + (1 - self.decay) * parameter.grad
                rate = batches.learning_rate / (1 + 0.1 * len(losses))
                parameter.data.sub_(state.arrays[name], alpha=rate)
        losses.append(loss.item())
        return {"loss": loss.item(), "rounds-trained": float(len(losses))}


class Unkeepable(Averaging):
    """A trainer that keeps what JSON cannot hold."""

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Keep a set."""
        state.plain["seen"] = {1, 2}
        return {}


def brier(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared distance of each record's probabilities to the truth."""
    truth = nn.functional.one_hot(targets, outputs.shape[1])
    return (outputs.softmax(1) - truth).square().sum(1)


def normalised(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a network with a normalisation over the batch."""
    return nn.Sequential(
        nn.Linear(input_shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, num_classes)
    )


PICTURES, CLASSES = 330, 4


def pictures() -> Arrays:
    """Return small pictures of noise, with labels by dice."""
    random = np.random.default_rng(4)
    pixels = random.integers(256, size=(PICTURES, 3, 8, 8), dtype=np.uint8)
    return Arrays(pixels, random.integers(CLASSES, size=PICTURES), num_classes=CLASSES)


def flat(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a network that can learn pictures by heart."""
    width = math.prod(input_shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, num_classes))


LOCAL: Mapping[str, Mapping[str, Any]] = {
    "settings": {
        "name": "sgd",
        "clip_norm": 1.0,
        "class_weights": [1.0, 2.0, 1.0, 0.5],
        "label_smoothing": 0.1,
        "augmentation": ["flip", "crop"],
        "warmup": 1,
        "schedule": "cosine",
    },
    "own-loss": {"name": "sgd", "loss": "trainers:brier"},
    "own-trainer": {"name": "trainers:Averaging", "decay": 0.25},
}
"""Local training as people do it: every setting of `sgd`, an own loss, an own trainer."""


def trained_as(case: str, rounds: int = 3, **local: Any) -> dict[str, Any]:
    """Return the sections of the toy experiment that train on pictures in one of these ways."""
    training = {"batch_size": 16, "learning_rate": 0.05, "trainer": dict(LOCAL[case])}
    return {
        "data": {"name": "trainers:pictures", "test_records": 130},
        "partition": {"participants": 2, "records": 90},
        "model": "trainers:flat",
        "federation": {
            "rounds": rounds,
            "local": training | local,
            "evaluation": {"every": rounds},
        },
        "snapshots": {"rounds": [rounds]},
        "adversaries": ["curious-server"],
        "attacks": ["loss"],
    }
