"""How fast the last layer's features are extracted, beside a plain forward pass and other ways.

AlexNet and the paper's networks for Purchase100 and Texas100, on random records. Extracted are the
last layer's gradient as its two factors, logits, loss and scalars. The other ways give the same
gradient as a matrix: a backward pass for each record (as the early code of this field), vmap of
torch.func, and Opacus. The target is 0.8 of the speed of a plain batched forward pass, which is the
floor, as every way has to run it.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from paired import arguments, interleaved, publish, ratios
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from adversaries.inference.extraction import extract
from adversaries.inference.feature_spec import FeatureSpec
from fedsim import seeds
from fedsim.models import alexnet, fully_connected

LAST_LAYER = "classifier"
BATCH = 250
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "alexnet": (lambda: alexnet(100), (3, 32, 32)),
    "purchase": (lambda: fully_connected(100, (600,)), (600,)),
    "texas": (lambda: fully_connected(100, (6169,)), (6169,)),
}


@dataclass(frozen=True)
class FeatureWorkload:
    """A network with random records for it."""

    model: nn.Module
    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(
        cls, make: Callable[[], nn.Module], shape: tuple[int, ...], records: int
    ) -> "FeatureWorkload":
        """Return a seeded network and so many records."""
        with seeds.global_draws(0, "benchmark"):
            model = make()
            inputs, labels = torch.randn(records, *shape), torch.randint(100, (records,))
        return cls(model.eval(), inputs, labels)

    def batch(self, records: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of records."""
        chosen = torch.from_numpy(records)
        return self.inputs[chosen], self.labels[chosen]

    def batches(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the first `count` records in batches."""
        for records in np.array_split(np.arange(count), max(1, count // BATCH)):
            yield self.batch(records)


def forward(work: FeatureWorkload, count: int) -> None:
    """Run a plain batched forward pass: the floor."""
    with torch.no_grad():
        for inputs, _ in work.batches(count):
            work.model(inputs)


def ours(work: FeatureWorkload, count: int) -> Tensor:
    """Extract the last layer's features; return the gradients of one batch as matrices."""
    spec = FeatureSpec(gradient_norms=(), batch_size=BATCH)
    found = extract(work.model, work.batch, np.arange(count), spec)
    deltas, hidden = found.deltas[:BATCH], found.hidden[:BATCH]
    return torch.from_numpy(deltas)[:, :, None] * torch.from_numpy(hidden)[:, None, :]


def one_at_a_time(work: FeatureWorkload, count: int) -> Tensor:
    """Take the gradient of each record's loss by a backward pass of its own."""
    weight = work.model.get_parameter(f"{LAST_LAYER}.weight")
    made = []
    for record in range(count):
        loss = functional.cross_entropy(
            work.model(work.inputs[record : record + 1]), work.labels[record : record + 1]
        )
        made.append(torch.autograd.grad(loss, weight)[0])
    return torch.stack(made)


def vectorised(work: FeatureWorkload, count: int) -> Tensor:
    """Take the gradients by torch.func's vmap over grad, the last layer's parameters only."""
    fixed = {k: v.detach() for k, v in work.model.named_parameters()}
    moving = {k: fixed.pop(k) for k in (f"{LAST_LAYER}.weight", f"{LAST_LAYER}.bias")}

    def loss(last: dict[str, Tensor], inputs: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(work.model, {**fixed, **last}, (inputs[None],))
        return functional.cross_entropy(logits, label[None])

    per_record = vmap(grad(loss), in_dims=(None, 0, 0))
    made: list[Tensor] = [
        per_record(moving, *batch)[f"{LAST_LAYER}.weight"] for batch in work.batches(count)
    ]
    return made[0]


def by_opacus(work: FeatureWorkload, count: int) -> Tensor:
    """Take the gradients by Opacus, with all other layers frozen."""
    from opacus.grad_sample import GradSampleModule

    for name, parameter in work.model.named_parameters():
        parameter.requires_grad_(name.startswith(LAST_LAYER))
    # It records in train mode only; these networks have nothing that differs in it.
    wrapped = GradSampleModule(work.model.train(), loss_reduction="sum")
    weight = work.model.get_parameter(f"{LAST_LAYER}.weight")
    made: list[Tensor] = []
    for inputs, labels in work.batches(count):
        wrapped.zero_grad()
        loss = functional.cross_entropy(wrapped(inputs), labels, reduction="sum")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing")
            loss.backward()  # type: ignore[no-untyped-call]
        made.append(weight.grad_sample)  # type: ignore[attr-defined]
    wrapped.remove_hooks()
    work.model.eval().requires_grad_(True)
    return made[0]


def opacus_is_there() -> bool:
    """Return whether the peer is installed (the extra `bench`)."""
    try:
        import opacus.grad_sample  # noqa: F401
    except ImportError:
        return False
    return True


def measured(work: FeatureWorkload, records: int, repetitions: int) -> dict[str, object]:
    """Return speeds and ratios for one network."""
    few = max(10, records // 40)
    counts = {"plain forward": records, "ours": records, "one at a time": few, "vmap": records}
    ways: dict[str, Callable[[FeatureWorkload, int], Tensor | None]] = {
        "plain forward": forward,
        "ours": ours,
        "one at a time": one_at_a_time,
        "vmap": vectorised,
    }
    if opacus_is_there():
        ways["Opacus"], counts["Opacus"] = by_opacus, records
    seconds = interleaved(
        {name: partial(way, work, counts[name]) for name, way in ways.items()}, repetitions
    )
    a_record = {name: [s / counts[name] for s in taken] for name, taken in seconds.items()}
    truth = one_at_a_time(work, 20)
    others = [name for name in ways if name not in ("plain forward", "one at a time")]
    return {
        "records a second (median)": {
            n: round(1 / float(np.median(t))) for n, t in a_record.items()
        },
        "speed of ours / plain forward": ratios(a_record, "plain forward", "ours"),
        "speed of ours / the others": {
            name: ratios(a_record, name, "ours")
            for name in ways
            if name not in ("plain forward", "ours")
        }
        | ({} if "Opacus" in ways else {"Opacus": "not installed"}),
        "largest relative difference from one at a time": {
            name: float((_first(ways[name](work, 250), 20) - truth).abs().max() / truth.abs().max())
            for name in others
        },
    }


def _first(gradients: Tensor | None, count: int) -> Tensor:
    if gradients is None:
        raise TypeError("a way that gives no gradients was compared")
    return gradients[:count].detach()


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    records, repetitions = (500, 2) if options.quick else (2000, 7)
    figures = {
        name: measured(FeatureWorkload.of(make, shape, records), records, repetitions)
        for name, (make, shape) in NETWORKS.items()
    }
    publish(figures, options.json)


if __name__ == "__main__":
    main()
