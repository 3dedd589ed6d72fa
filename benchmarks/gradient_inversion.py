"""What gradient inversion reconstructs of a participant's upload, against records never seen.

    pip install breaching==0.1.2
    python benchmarks/gradient_inversion.py --data-dir data --records 1 8 100

Zhu, Liu and Han, *Deep Leakage from Gradients*, NeurIPS 2019 (L-BFGS on the squared distance), with
labels given, as the library `breaching` has it, driven by its public calls; `--attack
invertinggradients` is Geiping et al., NeurIPS 2020 (Adam on signs, cosine, total variation).
CIFAR-100 at a network's initial parameters, which is where inversion does best. `lenet` is theirs
(three strided convolutions with sigmoids, no pooling), `alexnet` the project's. One record, or
several in one step, is the laboratory: the attacker is given the gradient. 100 records in five
steps of 20, one local epoch, is a small round: it is given the update. It knows more than in a
federation: the labels of each step in their order, the learning rate and the number of steps.

A record is as well reconstructed as its nearest reconstruction is near (PSNR, in dB, on pixels from
0 to 1). The null is the same of records that the participant never saw: a grey image lies somewhere
near each of them. *Recognised* is the share of records above all but 1 % of the unseen ones.
"""

import argparse
import importlib
import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedsim.data import load_dataset
from fedsim.models import build_model

STEP, RATE = 20, 0.01


def uploaded(model: nn.Module, inputs: Tensor, labels: Tensor, rate: float) -> list[Tensor]:
    """Return the parameters after a pass in batches of `STEP`, by plain gradient descent."""
    state = [one.detach().clone() for one in model.parameters()]
    for batch, truth in zip(torch.split(inputs, STEP), torch.split(labels, STEP), strict=True):
        loss = functional.cross_entropy(model(batch), truth)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(model.parameters(), slopes, strict=True):
                parameter.sub_(slope, alpha=rate)
    found = [one.detach().clone() for one in model.parameters()]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), state, strict=True):
            parameter.copy_(value)
    return found


def reconstructed(
    breaching: Any,
    attack: str,
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    iterations: int,
) -> Tensor:
    """Return what the library reconstructs of an upload, as many records as went into it."""
    settings = breaching.get_attack_config(attack)
    settings.attack_type = "optimization"  # of the records alone: labels are given
    settings.optim.max_iterations = iterations
    settings.optim.callback = iterations
    setup = {"device": torch.device("cpu"), "dtype": torch.float}
    attacker = breaching.attacks.prepare_attack(model, nn.CrossEntropyLoss(), settings, setup)
    before = [one.detach().clone() for one in model.parameters()]
    steps, local = torch.split(labels, STEP), None
    if len(steps) == 1:
        loss = functional.cross_entropy(model(inputs), labels)
        shared = list(torch.autograd.grad(loss, list(model.parameters())))
    else:
        after = uploaded(model, inputs, labels, RATE)
        local = {
            "lr": RATE,
            "steps": len(steps),
            "data_per_step": STEP,
            "labels": list(steps),
        }
        shared = [new - old for old, new in zip(before, after, strict=True)]
    facts = SimpleNamespace(
        shape=tuple(inputs.shape[1:]),
        mean=[0.0] * inputs.shape[1],
        std=[1.0] * inputs.shape[1],
        modality="vision",
        classes=100,
    )
    payload = {
        "parameters": before,
        "buffers": [one.clone() for one in model.buffers()],
        "metadata": facts,
    }
    upload = {
        "gradients": shared,
        "buffers": None,
        "metadata": {
            "num_data_points": len(inputs),
            "labels": labels,
            "local_hyperparams": local,
        },
    }
    found, _ = attacker.reconstruct([payload], [upload], {}, dryrun=False)
    data: Tensor = found["data"]
    return data.clamp(0, 1)


def lenet(seed: int) -> nn.Module:
    """Return the network of Zhu, Liu and Han, with their initial parameters."""
    layers: list[nn.Module] = []
    for before, stride in ((3, 2), (12, 2), (12, 1)):
        layers += [nn.Conv2d(before, 12, 5, stride=stride, padding=2), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(768, 100))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5, generator=random)
    return model


def nearest_psnr(records: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Return the PSNR of each record with its nearest reconstruction, in dB."""
    distance = torch.cdist(records.flatten(1).double(), reconstructions.flatten(1).double())
    error = distance.min(1).values.square() / records[0].numel()
    return np.asarray(-10 * torch.log10(error.clamp_min(1e-12)))


def main() -> None:
    """Print a line for each number of records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--model", choices=("lenet", "alexnet"), default="lenet")
    parser.add_argument("--attack", default="deepleakage", help="a preset of breaching")
    parser.add_argument("--records", type=int, nargs="+", default=[1, 8, 100])
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    breaching = importlib.import_module("breaching")
    logging.disable(logging.INFO)
    data = load_dataset("cifar100", {}, data_dir=given.data_dir, seed=0)
    model = (
        lenet(given.seed)
        if given.model == "lenet"
        else build_model("alexnet", {}, input_shape=(3, 32, 32), num_classes=100, seed=given.seed)
    )
    random = np.random.default_rng(given.seed)
    for count in given.records:
        chosen = random.permutation(len(data))[: count + 1000]
        inputs, labels = data.batch(chosen)
        low, high = inputs.min(), inputs.max()
        pixels = (inputs - low) / (high - low)
        torch.manual_seed(given.seed)
        began = time.process_time()
        found = reconstructed(
            breaching,
            given.attack,
            model.train(False),
            pixels[:count],
            labels[:count],
            given.iterations,
        )
        own, null = nearest_psnr(pixels[:count], found), nearest_psnr(pixels[count:], found)
        recognised = float((own > np.quantile(null, 0.99)).mean())
        print(
            f"{given.model}, {count} records, {-(-count // STEP)} steps: PSNR {own.mean():.1f} dB, "
            f"unseen records {null.mean():.1f} dB, recognised {recognised:.0%}, "
            f"{time.process_time() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
