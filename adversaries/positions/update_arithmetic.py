"""Distances and sums of parameters as Flower carries them."""

import math
from collections.abc import Collection, Sequence

import torch
from flwr.app import ArrayRecord
from torch import Tensor


def update_norm(before: ArrayRecord, after: ArrayRecord, names: Collection[str]) -> float:
    """Return the Euclidean length of an update, of the arrays that are named."""
    start, end = before.to_torch_state_dict(), after.to_torch_state_dict()
    return joint_norm(
        [v.double() - start[name].double() for name, v in end.items() if name in names]
    )


def add_update(
    base: ArrayRecord, start: ArrayRecord, end: ArrayRecord, factor: float
) -> ArrayRecord:
    """Return ``base + factor * (end - start)``; what is equal in `start` and `end` stays."""
    before, behind = start.to_torch_state_dict(), end.to_torch_state_dict()
    return ArrayRecord(
        {
            name: value
            if torch.equal(before[name], behind[name])
            else value + factor * (behind[name] - before[name])
            for name, value in base.to_torch_state_dict().items()
        }
    )


def joint_norm(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of several tensors together."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
