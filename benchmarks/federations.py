"""The federations that simulators are timed on, and the arithmetic that all of them do.

Plain SGD from the aggregate, one epoch in batches of 100 in an order that (seed, round,
participant) decide, then the mean of the uploads: the final parameters of two simulators differ
by rounding only. Records are random; nobody learns from them.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedsim import seeds
from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.data import Arrays, Dataset
from fedsim.data.splitting import from_arrays
from fedsim.models import build_model

SEED = 0
BATCH = 100
CLASSES = 100
LOCAL = LocalTraining(
    batch_size=BATCH, optimizer=Choice(name="sgd", momentum=0.0), learning_rate=0.02
)


@dataclass(frozen=True)
class Workload:
    """A federation: who holds how much, how many train in a round, and which model.

    Attributes
    ----------
    rounds
        How many are timed at once.
    """

    participants: int
    records: int
    cohort: int
    model: Choice
    input_shape: tuple[int, ...]
    rounds: int

    @cached_property
    def dataset(self) -> Dataset:
        """All records there are."""
        draw = seeds.generator(SEED, "benchmark")
        count = self.participants * self.records + 1
        shape = (count, *self.input_shape)
        image = len(self.input_shape) > 1
        arrays = Arrays(
            draw.integers(0, 256 if image else 2, shape, dtype=np.uint8),
            draw.integers(0, CLASSES, count),
            np.arange(count) == count - 1,
            num_classes=CLASSES,
            mean=(0.5,) * 3 if image else None,
            std=(0.25,) * 3 if image else None,
        )
        return from_arrays("random records", arrays, test_records=None, seed=SEED)

    @cached_property
    def training_sets(self) -> list[NDArray[np.int64]]:
        """The records of each participant."""
        return list(self.dataset.pool_records.reshape(self.participants, self.records))

    def new_model(self) -> nn.Module:
        """Return the model with its initial parameters."""
        return build_model(
            self.model.name,
            self.model.settings,
            input_shape=self.input_shape,
            num_classes=CLASSES,
            seed=SEED,
        )

    def trained(self, round_number: int) -> list[int]:
        """Return who trains in a round, in order: whom FedAvg samples in fedsim."""
        with seeds.global_draws(SEED, "strategy", round_number):
            return sorted(random.sample(range(self.participants), self.cohort))

    def tensors(self, participant: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of a participant."""
        return self.dataset.tensors(self.training_sets[participant])

    def order(self, round_number: int, participant: int) -> Tensor:
        """Return the order in which a participant takes its records in a round."""
        records = self.training_sets[participant]
        draw = seeds.generator(SEED, "batches", round_number, participant)
        return torch.from_numpy(draw.permutation(records) - records[0])


WORKLOADS: Mapping[str, Workload] = {
    "500 x 20 records, 50 a round, MLP 600-128-100": Workload(
        500, 20, 50, Choice(name="fully-connected", widths=[128]), (600,), 10
    ),
    "20 x 1,000 records, MLP 600-1024-512-256-128-100": Workload(
        20, 1000, 20, Choice(name="fully-connected"), (600,), 1
    ),
    "4 x 30,000 images, AlexNet": Workload(4, 30_000, 4, Choice(name="alexnet"), (3, 32, 32), 1),
    "4 x 2,500 images, AlexNet": Workload(4, 2500, 4, Choice(name="alexnet"), (3, 32, 32), 1),
}


def train(model: nn.Module, data: tuple[Tensor, Tensor], order: Tensor) -> None:
    """Train one epoch, as anyone would write it."""
    inputs, labels = data
    optimizer = torch.optim.SGD(model.parameters(), LOCAL.learning_rate, fused=True)
    model.train()
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
