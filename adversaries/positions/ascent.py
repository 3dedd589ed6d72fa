"""Gradient ascent on target records: what the two active attackers of the paper have in common.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: parameters move up the gradient of the
target records' loss. A participant whose training set holds a target pulls its loss back down in
its next local epoch; nobody pulls back a non-member's.

A fixed rate is fragile: a little too small and nothing is seen, a little too large and the model is
gone. By default the step is therefore a multiple of the length of an honest update.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedsim import seeds
from fedsim.federation.adversary import Briefing

RECORDS_A_PASS = 500


@dataclass(frozen=True)
class Ascent:
    """When and how far to climb.

    Attributes
    ----------
    rate
        Relative: the length of the whole climb in a round, in lengths of an honest update.
        Absolute: the factor before the gradient of each step, as in the paper.
    relative
        Which of the two.
    first, last
        The active rounds; None goes on to the end.
    targets
        How many targets are climbed in a round, drawn anew in each; None takes all.
    batches
        Steps in a round, each on its share of the round's targets.
    """

    rate: float
    relative: bool
    first: int
    last: int | None
    targets: int | None
    batches: int

    def __post_init__(self) -> None:
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate must be a positive number, not {self.rate}")
        earliest = 2 if self.relative else 1
        if self.first < earliest:
            raise ValueError(
                f"first must be at least {earliest}, not {self.first}: a relative rate needs an "
                "honest update before it"
                if self.relative
                else f"first must be at least {earliest}, not {self.first}"
            )
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last is {self.last}, before first, which is {self.first}")
        if self.batches < 1 or (self.targets is not None and self.targets < self.batches):
            raise ValueError(
                f"batches is {self.batches} for {self.targets} targets; at least 1, and no more "
                "batches than targets"
            )

    def active(self, round_number: int) -> bool:
        """Return whether this round is an active one."""
        return self.first <= round_number and (self.last is None or round_number <= self.last)

    def climb(
        self, arrays: ArrayRecord, briefing: Briefing, round_number: int, update_norm: float
    ) -> ArrayRecord:
        """Return parameters further up the loss of the target records.

        Parameters
        ----------
        arrays
            Where to start.
        briefing
            The model, and the target records.
        round_number
            Which round; the draw of the targets depends on it.
        update_norm
            Euclidean length of an honest update; used by a relative rate.
        """
        model = briefing.new_model()
        model.load_state_dict(arrays.to_torch_state_dict())
        model.eval()
        parameters = [p for p in model.parameters() if p.requires_grad]
        random = seeds.generator(briefing.seed, "ascent", round_number)
        chosen = random.permutation(briefing.targets)[: self.targets]
        for batch in np.array_split(chosen, self.batches):
            gradient = _loss_gradient(model, parameters, briefing, batch)
            step = self.rate
            if self.relative:
                step *= update_norm / (self.batches * max(_norm(gradient), 1e-12))
            with torch.no_grad():
                for parameter, slope in zip(parameters, gradient, strict=True):
                    parameter.add_(slope, alpha=step)
        return ArrayRecord(model.state_dict())


def distance(left: ArrayRecord, right: ArrayRecord) -> float:
    """Return the Euclidean distance of two sets of parameters with the same names."""
    ours, theirs = left.to_torch_state_dict(), right.to_torch_state_dict()
    return _norm([value.double() - theirs[name].double() for name, value in ours.items()])


def _loss_gradient(
    model: nn.Module, parameters: list[nn.Parameter], briefing: Briefing, batch: NDArray[np.int64]
) -> list[Tensor]:
    """Return the gradient of the mean loss of a batch of records."""
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for start in range(0, len(batch), RECORDS_A_PASS):
        inputs, labels = briefing.dataset.batch(batch[start : start + RECORDS_A_PASS])
        loss = functional.cross_entropy(model(inputs), labels, reduction="sum") / len(batch)
        for whole, part in zip(total, torch.autograd.grad(loss, parameters), strict=True):
            whole += part
    return total


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
