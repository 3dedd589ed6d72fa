"""What a participant computes: local training and evaluation. Plain PyTorch, no Flower."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from fedsim import seeds
from fedsim.config.experiment import LocalTraining
from fedsim.data import Dataset

RecordIds = NDArray[np.int64]
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Utility:
    """How well a model does on some records: mean loss in nats, and the fraction it gets right."""

    loss: float
    accuracy: float
    records: int


def train_locally(
    model: nn.Module,
    optimizer: Optimizer,
    dataset: Dataset,
    records: RecordIds,
    local: LocalTraining,
    draw: tuple[int, int, int],
    proximal: float = 0.0,
) -> Utility:
    """Train `model` in place on a participant's records.

    Parameters
    ----------
    model, optimizer
        Both are changed.
    dataset, records
        The participant's training set: record ids in `dataset`.
    local
        Epochs, batch size and precision.
    draw
        (seed, round, participant): what the order of the records and dropout depend on.
    proximal
        The mu of FedProx (Li et al., MLSys 2020, equation 2): ``mu / 2 * |w - w_received|^2`` is
        added to the loss.

    Returns
    -------
    Utility
        Over the training passes themselves, before each step.
    """
    seed, round_number, participant = draw
    order = seeds.generator(seed, "batches", round_number, participant)
    half = local.precision == "bf16"
    model.train()
    received = [p.detach().clone() for p in model.parameters()] if proximal else []
    losses, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    with seeds.global_draws(seed, "training", round_number, participant):
        for _ in range(local.epochs):
            shuffled = order.permutation(records)
            for start in range(0, len(shuffled), local.batch_size):
                inputs, labels = dataset.batch(shuffled[start : start + local.batch_size])
                # One autocast block a step: it caches its copies of the weights until it is left.
                with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
                    outputs = model(inputs)
                    loss = functional.cross_entropy(outputs, labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if received:
                    _pull_back(model, received, proximal)
                optimizer.step()
                losses += loss.detach() * len(labels)
                right += _right(outputs, labels)
    return _utility(losses, right, local.epochs * len(records))


def _pull_back(model: nn.Module, received: list[Tensor], proximal: float) -> None:
    """Add the gradient of FedProx's proximal term."""
    for parameter, start in zip(model.parameters(), received, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - start, alpha=proximal)


@torch.inference_mode()
def evaluate(model: nn.Module, dataset: Dataset, records: RecordIds) -> Utility:
    """Return the utility of `model`, in evaluation mode, on `records`."""
    model.eval()
    losses, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for start in range(0, len(records), EVALUATION_BATCH):
        inputs, labels = dataset.batch(records[start : start + EVALUATION_BATCH])
        outputs = model(inputs)
        losses += functional.cross_entropy(outputs, labels, reduction="sum")
        right += _right(outputs, labels)
    return _utility(losses, right, len(records))


def _right(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.detach().argmax(1) == labels).sum()


def _utility(losses: Tensor, right: Tensor, records: int) -> Utility:
    return Utility(float(losses) / records, int(right) / records, records)
