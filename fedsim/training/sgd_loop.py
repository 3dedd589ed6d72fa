"""Local training and evaluation of a participant, in plain PyTorch."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fedsim.data import Dataset
from fedsim.objectives import Objective
from fedsim.training.trainer import Batches, RecordIds

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Utility:
    """How well a model does on some records, as means over them.

    Attributes
    ----------
    loss
        The loss, of classification in nats; None where a trainer does not say.
    term
        The objective's utility term: of classification the fraction that is right.
    records
        How many records the means are over, each counted as often as it was used.
    others
        What a trainer reports besides, by name.
    """

    loss: float | None
    term: float | None
    records: int
    others: Mapping[str, float] = field(default_factory=dict)


def run_epochs(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    *,
    change: Callable[[Tensor], Tensor] | None = None,
    clip_norm: float | None = None,
) -> dict[str, float]:
    """Train `model` in place on a participant's records.

    Parameters
    ----------
    model, optimizer
        Both are changed.
    batches
        The participant's records, and epochs, precision and proximal term of the round.
    loss_of
        The scalar of outputs and targets that is minimised.
    change
        What is done to the inputs of a batch before the model sees them.
    clip_norm
        The largest Euclidean length of a step's gradient.

    Returns
    -------
    dict
        Mean loss and utility term over the training passes themselves, before each step.
    """
    local, objective = batches.local, batches.objective
    half = local.precision == "bf16"
    model.train()
    received = [p.detach().clone() for p in model.parameters()] if batches.proximal else []
    device = batches.dataset.device
    losses = torch.zeros((), device=device)
    terms = torch.zeros((), dtype=torch.int64, device=device)
    for _ in range(local.epochs):
        for inputs, targets in batches:
            if change is not None:
                inputs = change(inputs)
            # One autocast block a step: it caches its copies of the weights until it is left.
            with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
                outputs = model(inputs)
                loss = loss_of(outputs, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if received:
                _pull_back(model, received, batches.proximal)
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            losses += loss.detach() * len(targets)
            terms = terms + objective.utility_terms(outputs.detach(), targets).sum()
    seen = local.epochs * batches.records_a_pass
    return {objective.utility.term: terms.item() / seen, "loss": float(losses) / seen}


def _pull_back(model: nn.Module, received: list[Tensor], proximal: float) -> None:
    """Add the gradient of FedProx's proximal term."""
    for parameter, start in zip(model.parameters(), received, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - start, alpha=proximal)


@torch.inference_mode()
def evaluate(
    model: nn.Module, dataset: Dataset, records: RecordIds, objective: Objective
) -> Utility:
    """Return the utility of `model`, in evaluation mode, on `records`."""
    model.eval()
    losses = torch.zeros((), device=dataset.device)
    terms = torch.zeros((), dtype=torch.int64, device=dataset.device)
    for start in range(0, len(records), EVALUATION_BATCH):
        inputs, targets = dataset.batch(records[start : start + EVALUATION_BATCH])
        outputs = model(inputs)
        losses += objective.sum_loss(outputs, targets)
        terms = terms + objective.utility_terms(outputs, targets).sum()
    return Utility(float(losses) / len(records), terms.item() / len(records), len(records))
