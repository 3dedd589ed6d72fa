"""Gradient ascent on target records, shared by the two active attackers of the paper.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: parameters move up the gradient of the
target records' loss. A participant whose training set holds a target lowers its loss again in its
next local epoch; the loss of a non-member stays high.

The paper's rule is a fixed rate on the loss of all targets in every round. It moves the whole
model, and each single record little. The defaults here differ, and why:

- The length of an ascent is a multiple of the length of an honest update, and an ascent is cut
  short once its targets have lost some confidence. A fixed rate is either too small to have an
  effect or destroys the model.
- Each round has few targets, one group after another: an ascent of the same length then moves each
  of them further.
- The ascent lowers the *confidence*, the probability of the true class. The loss of misclassified
  records is unbounded and would dominate the ascent, but the records that an attacker cannot yet
  separate are the confident ones.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from torch import Tensor, nn

from adversaries.positions.backtracking import backtrack
from adversaries.positions.update_arithmetic import joint_norm
from fedsim import exchanged_state, load_exchanged, seeds
from fedsim.adversary.resources import AttackerResources
from fedsim.data import MembershipQuery

RECORDS_A_PASS = 500
WATCHED_TARGETS = 128
"""The most targets whose confidence decides where an ascent is cut short."""
RecordIds = NDArray[np.int64]


@dataclass(frozen=True)
class GradientAscent:
    """When, on which targets, and how far to ascend.

    Attributes
    ----------
    rate
        Relative: the length of the whole ascent in a round, in lengths of an honest update.
        Absolute: the factor before the gradient of each step, as in the paper.
    relative
        Which of the two.
    first, last
        The active rounds; None goes on to the end.
    targets
        How many targets a round has, one group after another; None takes all in each.
    steps
        Steps in a round, each on its share of the round's targets.
    objective
        What is maximised: minus the mean ``confidence`` in the true class, or the mean ``loss``.
    drop
        The ascent is cut short once the mean confidence of its targets, measured on some of them,
        has fallen by this amount; None never cuts it.
    """

    rate: float
    relative: bool
    first: int
    last: int | None
    targets: int | None
    steps: int
    objective: Literal["confidence", "loss"]
    drop: float | None

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
        if self.steps < 1 or (self.targets is not None and self.targets < self.steps):
            raise ValueError(
                f"steps is {self.steps} for {self.targets} targets; at least 1, and no more steps "
                "than targets"
            )
        if self.drop is not None and not 0 < self.drop < 1:
            raise ValueError(f"drop must be between 0 and 1, not {self.drop}")

    @property
    def in_words(self) -> str:
        """When it acts and what it does, for a threat model."""
        until = "on" if self.last is None else f"to round {self.last}"
        effect = (
            "raises the loss of the target records"
            if self.objective == "loss"
            else "lowers the model's confidence in the target records"
        )
        return f"from round {self.first} {until} it {effect} by gradient ascent"

    def is_active(self, round_number: int) -> bool:
        """Return whether this round is an active one."""
        return self.first <= round_number and (self.last is None or round_number <= self.last)

    def targets_in(
        self, resources: AttackerResources, query: MembershipQuery, round_number: int
    ) -> RecordIds:
        """Return the targets (n,) of a round; none in one that is not active.

        They are shuffled once and cut into groups of about `targets`, which take turns.
        """
        targets = resources.targets_of(query)
        if not self.is_active(round_number):
            return targets[:0]
        groups = max(1, round(len(targets) / self.targets)) if self.targets else 1
        order = seeds.generator(resources.seed, "targets", query.key).permutation(targets)
        return order[(round_number - self.first) % groups :: groups]

    def ascend(
        self,
        arrays: ArrayRecord,
        resources: AttackerResources,
        query: MembershipQuery,
        round_number: int,
        update_norm: float,
    ) -> tuple[ArrayRecord, float]:
        """Return parameters further up on the round's targets, and the share of the ascent kept.

        The share is 1 for an ascent that was not cut short, and 0 where nothing is kept, as the
        smallest step costs the targets more confidence than `drop`; the parameters are those that
        were given then. Buffers stay as they are.

        Parameters
        ----------
        arrays
            Where to start.
        resources
            The model, and the target records.
        query
            Whose targets.
        round_number
            Which round; it decides whose turn it is.
        update_norm
            Euclidean length of an honest update; used by a relative rate.
        """
        model = resources.new_model()
        load_exchanged(model, arrays.to_torch_state_dict())
        model.eval()
        parameters = [p for p in model.parameters() if p.requires_grad]
        targets = self.targets_in(resources, query, round_number)
        if self.drop is None:
            self._take_steps(model, parameters, resources, targets, update_norm)
            return _with_parameters_of(model, arrays), 1.0
        start = [parameter.detach().clone() for parameter in parameters]
        watched = targets[:WATCHED_TARGETS]  # they are in a random order
        least = _mean_confidence(model, resources, watched) - self.drop
        self._take_steps(model, parameters, resources, targets, update_norm)
        kept = backtrack(
            parameters, start, lambda: _mean_confidence(model, resources, watched) >= least
        )
        return (_with_parameters_of(model, arrays), kept) if kept else (arrays, 0.0)

    def _take_steps(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        resources: AttackerResources,
        targets: RecordIds,
        update_norm: float,
    ) -> None:
        """Take all steps of an ascent, each on its share of the targets."""
        for batch in np.array_split(targets, self.steps):
            gradient = self._gradient(model, parameters, resources, batch)
            step = self.rate
            if self.relative:
                step *= update_norm / (self.steps * max(joint_norm(gradient), 1e-12))
            step = min(step, torch.finfo(torch.float32).max)
            with torch.no_grad():
                for parameter, slope in zip(parameters, gradient, strict=True):
                    parameter.add_(slope, alpha=step)

    def _gradient(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        resources: AttackerResources,
        batch: RecordIds,
    ) -> list[Tensor]:
        """Return the gradient of the objective's mean over a batch of records."""
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, len(batch), RECORDS_A_PASS):
            inputs, labels = resources.dataset.batch(batch[start : start + RECORDS_A_PASS])
            losses = resources.objective.per_record_loss(model(inputs), labels)
            raised = losses if self.objective == "loss" else -torch.exp(-losses)
            # A layer that the model has and does not use has no gradient, and stays.
            part = torch.autograd.grad(raised.sum() / len(batch), parameters, allow_unused=True)
            for whole, share in zip(total, part, strict=True):
                if share is not None:
                    whole += share
        return total


@torch.no_grad()
def _mean_confidence(model: nn.Module, resources: AttackerResources, records: RecordIds) -> float:
    """Return the mean of exp(-loss) over records: the probability of a record's true class."""
    total = 0.0
    for start in range(0, len(records), RECORDS_A_PASS):
        inputs, labels = resources.dataset.batch(records[start : start + RECORDS_A_PASS])
        losses = resources.objective.per_record_loss(model(inputs), labels)
        total += float(torch.exp(-losses).sum())
    return total / len(records)


def _with_parameters_of(model: nn.Module, arrays: ArrayRecord) -> ArrayRecord:
    """Return a model's trainable parameters, tied ones by all their names, and buffers as given."""
    state = exchanged_state(model)
    own = {p.data_ptr() for p in model.parameters() if p.requires_grad}
    trained = ArrayRecord(state)
    return ArrayRecord(
        {n: trained[n] if v.data_ptr() in own else arrays[n] for n, v in state.items()}
    )
