"""What DP-SGD costs: a participant's round beside one without privacy, and beside Opacus' loop.

A round of one epoch in batches of 100: the Purchase network (Adam), and AlexNet with GroupNorm (SGD
with momentum). Opacus' own loop is written as its documentation has it, once with the gradients of
single records written down and once with ghost clipping; it draws the same batches and the same
noise. Seconds are of the processor; all end with the
same parameters, and the largest difference is printed.
"""

import math
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from paired import arguments, interleaved, publish, ratios
from torch import Tensor, nn

from fedsim import seeds
from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.data import Arrays, Dataset
from fedsim.data.splitting import from_arrays
from fedsim.models import alexnet
from fedsim.models.fully_connected import fully_connected
from fedsim.objectives import Classification
from fedsim.training.dp_sgd import DPSGD
from fedsim.training.sgd import SGD
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

SEED, CLASSES = 0, 100
NOISE, CLIP = 1.0, 1.0
DEVICE = torch.device("cpu")


def alexnet_with_group_norm() -> nn.Module:
    """Return the AlexNet of CIFAR-100 with GroupNorm behind each convolution."""
    layers = OrderedDict[str, nn.Module]()
    for name, layer in alexnet(CLASSES).named_children():
        layers[name] = layer
        if isinstance(layer, nn.Conv2d):
            layers[f"norm{name[-1]}"] = nn.GroupNorm(32, layer.out_channels)
    return nn.Sequential(layers)


@dataclass
class Round:
    """A participant's round, to be begun again and again.

    Attributes
    ----------
    features
        The records, shape (n, ...).
    make_model
        Makes the model.
    optimizer
        The local optimiser.
    """

    features: Any
    make_model: Callable[[], nn.Module]
    optimizer: Choice
    model: nn.Module = field(init=False)
    initial: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        """Make the data set and the model."""
        count = len(self.features)
        labels = seeds.generator(SEED, "labels").integers(0, CLASSES, count)
        tests = np.arange(count) >= count - 1  # a data set must have one
        arrays = Arrays(self.features, labels, tests, num_classes=CLASSES)
        self.dataset: Dataset = from_arrays("random", arrays, test_records=None, seed=SEED)
        self.local = LocalTraining(batch_size=100, learning_rate=0.001, optimizer=self.optimizer)
        with seeds.global_draws(SEED, "model"):
            self.model = self.make_model()
        self.initial = {name: value.clone() for name, value in self.model.state_dict().items()}

    @property
    def batches(self) -> Batches:
        """What the participant trains on."""
        records = self.dataset.pool_records
        return Batches(self.dataset, records, Classification(), self.local, SEED, 1, 0, 1)

    def by(self, trainer: LocalTrainer) -> Callable[[], object]:
        """Return a round of a trainer of fedsim's."""

        def train() -> None:
            generator = torch.Generator().manual_seed(SEED)
            self.model.load_state_dict(self.initial)
            trainer.fit(self.model, self.batches, TrainerState(), generator, DEVICE)

        return train

    def by_opacus(self, *, ghost: bool) -> Callable[[], object]:
        """Return the same round with Opacus, as its documentation has it."""
        from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        from fedsim.training.optimizers import optimizer_factory

        with seeds.global_draws(SEED, "model"):
            bare = self.make_model()
        if ghost:
            private: Any = GradSampleModuleFastGradientClipping(bare, max_grad_norm=CLIP)
        else:
            private = GradSampleModule(bare)
        kind = DPOptimizerFastGradientClipping if ghost else DPOptimizer
        factory = optimizer_factory(self.optimizer.name, self.optimizer.settings)

        def train() -> None:
            generator = torch.Generator().manual_seed(SEED)
            bare.load_state_dict(self.initial)
            bare.train()
            batches, records = self.batches, self.batches.records
            rate = 100 / len(records)
            optimizer = kind(
                factory(private.parameters(), 0.001),
                noise_multiplier=NOISE,
                max_grad_norm=CLIP,
                expected_batch_size=100,
                generator=generator,
            )
            criterion: Any = nn.CrossEntropyLoss()
            if ghost:
                criterion = DPLossFastGradientClipping(private, optimizer, criterion)
            for _ in range(math.ceil(len(records) / 100)):
                chosen = torch.rand(len(records), generator=generator) < rate
                inputs, targets = batches.of(records[chosen.numpy()])
                optimizer.zero_grad()
                criterion(private(inputs), targets).backward()
                optimizer.step()
            self.ended = {name: value.clone() for name, value in bare.state_dict().items()}

        return train


def measured(work: Round, repetitions: int) -> dict[str, object]:
    """Return times and ratios of a network."""
    private = DPSGD(noise_multiplier=NOISE, clip_norm=CLIP)
    contenders: dict[str, Callable[[], object]] = {
        "plain": work.by(SGD()),
        "dp-sgd": work.by(private),
        "Opacus, samples": work.by_opacus(ghost=False),
        "Opacus, ghost": work.by_opacus(ghost=True),
    }
    seconds = interleaved(contenders, repetitions, clock=time.process_time)
    differences = {}
    contenders["dp-sgd"]()
    ours = {name: value.clone() for name, value in work.model.state_dict().items()}
    for name in ("Opacus, samples", "Opacus, ghost"):
        contenders[name]()
        differences[name] = max(float((ours[k] - work.ended[k]).abs().max()) for k in ours)
    return {
        "seconds a round": seconds,
        "dp-sgd / plain": ratios(seconds, "dp-sgd", "plain"),
        "dp-sgd / Opacus, samples": ratios(seconds, "dp-sgd", "Opacus, samples"),
        "dp-sgd / Opacus, ghost": ratios(seconds, "dp-sgd", "Opacus, ghost"),
        "largest difference of a parameter": differences,
    }


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    count, repetitions = (101, 2) if options.quick else (301, 5)
    random = seeds.generator(SEED, "benchmark")
    purchase = Round(
        random.integers(0, 2, (count, 600)).astype(np.float32),
        lambda: fully_connected(CLASSES, (600,)),
        Choice(name="adam"),
    )
    images = Round(
        random.standard_normal((count, 3, 32, 32)).astype(np.float32),
        alexnet_with_group_norm,
        Choice(name="sgd", momentum=0.9, weight_decay=5e-4),
    )
    figures = {
        "Purchase": measured(purchase, repetitions),
        "AlexNet with GroupNorm": measured(images, repetitions),
    }
    publish(figures, options.json)


if __name__ == "__main__":
    main()
