"""Plugins of the other groups that each break one promise."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from fedsim import Arrays, LocalTrainer, Metric, Objective, PartitionTask, ScoredRecords
from fedsim.defences import Defence
from fedsim.objectives import Classification


def moody(task: PartitionTask) -> list[Any]:
    """Draw from numpy's own generator."""
    drawn = np.random.permutation(task.pool)  # noqa: NPY002
    return np.array_split(drawn, task.participants)


def greedy(task: PartitionTask) -> list[Any]:
    """Give everybody records of the test split, too."""
    return [np.arange(300) for _ in range(task.participants)]


class Mixed(Classification):
    """A loss that depends on the other records."""

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().per_record_loss(outputs, targets) * outputs.std()


class WrongGradient(Classification):
    """A closed form that is twice what it must be."""

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 2 * super().output_gradients(outputs, targets)


class Upside(Classification):
    """A first scalar that rises with the loss."""

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -super().record_scalars(outputs, targets)


class Underflow(Objective):
    """The log of a probability that underflows."""

    scalars = ("log probability",)

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.softmax(1).gather(1, targets[:, None]).log()


class ForgetfulOptimizer(SGD):
    """An optimizer that counts on itself, not in its state."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        self.param_groups[0]["lr"] /= self.steps
        super().step(closure)


class Stubborn(SGD):
    """An optimizer with a rate of its own."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, 0.5)


class Certain(nn.Module):
    """A model that ends in a softmax."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_shape[0], num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs).softmax(1)


class Mingling(nn.Module):
    """A model whose outputs depend on the batch; it has a layer without use."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_shape[0], num_classes)
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs - inputs.mean(0))


class Unordered:
    """A data set whose records come in another order each time."""

    def arrays(self, place: object) -> Arrays:
        random = np.random.default_rng()
        return Arrays(random.normal(size=(100, 3)), np.arange(100) % 4)


class HoardingTrainer(LocalTrainer):
    """A trainer that keeps a participant's momentum on itself."""

    def __init__(self) -> None:
        self.momentum: list[Tensor] = []

    def fit(self, model, batches, state, generator, device):  # type: ignore[no-untyped-def]
        for inputs, targets in batches:
            model.zero_grad()
            batches.objective.mean_loss(model(inputs), targets).backward()
            parameters = list(model.parameters())
            self.momentum = self.momentum or [torch.zeros_like(p) for p in parameters]
            with torch.no_grad():
                for parameter, momentum in zip(parameters, self.momentum, strict=True):
                    momentum.mul_(0.9).add_(parameter.grad)
                    parameter.sub_(momentum, alpha=0.02)
        return {"loss": 0.0}


class Idle(LocalTrainer):
    """A trainer that does nothing."""

    def fit(self, model, batches, state, generator, device):  # type: ignore[no-untyped-def]
        return {"loss": 0.0}


class HalfDefence(Defence):
    """A defence whose server does not what it must."""

    halves = frozenset({"participants", "server"})

    def in_words(self) -> str:
        return "participants clip"

    def client_mods(self):  # type: ignore[no-untyped-def]
        return (lambda message, context, call_next: call_next(message, context),)


class Useless(HalfDefence):
    """A defence that changes nothing."""

    halves = frozenset({"participants"})


class Hasty(Metric):
    """A fast way to the resamples that is a wrong one."""

    name, heading, unit, guessing = "hasty", "hasty", "area", 0.2

    def point(self, scored: ScoredRecords) -> float:
        return float((scored.members[:, None] > scored.nonmembers[None]).mean())

    def on_resamples(self, resampled):  # type: ignore[no-untyped-def]
        return np.full(len(resampled.members), self.point(resampled.scored))


class Boundless(Metric):
    """A figure that is called a fraction and is none."""

    name, heading, unit = "boundless", "boundless", "percent"

    def point(self, scored: ScoredRecords) -> float:
        return float(scored.members.mean() - scored.nonmembers.mean())
