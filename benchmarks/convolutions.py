"""What a step of local training takes with convolutions as fedsim computes them.

Against the same step of the model as PyTorch computes it: AlexNet, four of whose convolutions go by
rows, and ResNet-110, whose channels are last. One thread, processor time, the two in turn on the
same batches; medians of paired ratios. The largest difference of a parameter after the steps says
whether they still learn the same; where batches are normalised, rounding grows from step to step.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from paired import arguments, interleaved, publish, ratios
from torch import Tensor, nn
from torch.nn import functional

from fedsim import seeds
from fedsim.models import build_model
from fedsim.models.convolutions import (
    channels_last_pays,
    prepare_model,
    record_convolution_calls,
    small_convolutions,
)

CLASSES = 100


def batches(size: int) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what gives random batches, the same ones to each caller."""
    draw = seeds.torch_generator(0, "benchmark")

    def batch() -> tuple[Tensor, Tensor]:
        images = torch.randn(size, 3, 32, 32, generator=draw)
        return images, torch.randint(CLASSES, (size,), generator=draw)

    return batch


def step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Callable[[], tuple[Tensor, Tensor]],
) -> None:
    """Train one step."""
    images, labels = batch()
    loss = functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def figures(name: str, size: int, repetitions: int, **settings: object) -> dict[str, object]:
    """Return what a model's step takes, by fedsim and by PyTorch."""
    new_model = partial(
        build_model, name, settings, input_shape=(3, 32, 32), num_classes=CLASSES, seed=0
    )
    calls = record_convolution_calls(new_model(), torch.zeros(2, 3, 32, 32))
    small, channels_last = small_convolutions(calls), channels_last_pays(calls)
    models = {
        "fedsim": prepare_model(new_model, small, channels_last=channels_last),
        "PyTorch": new_model(),
    }
    steps = {
        one: partial(
            step, model, torch.optim.SGD(model.parameters(), 0.02, fused=True), batches(size)
        )
        for one, model in models.items()
    }
    seconds = interleaved(steps, repetitions, clock=time.thread_time)
    ours, torchs = (model.parameters() for model in models.values())
    apart = [(a - b).abs().max().item() for a, b in zip(ours, torchs, strict=True)]
    return {
        "by rows": small,
        "channels last": channels_last,
        "seconds": seconds,
        "fedsim / PyTorch": ratios(seconds, "fedsim", "PyTorch"),
        "largest difference of a parameter": max(apart),
    }


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    publish(
        {
            "AlexNet, batches of 100": figures("alexnet", 100, 1 if options.quick else 24),
            "ResNet-110, batches of 50": figures("resnet", 50, 1 if options.quick else 5),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
