"""Gradient ascent on target records: what the two active attackers of the paper have in common.

Nasr, Shokri and Houmansadr (IEEE S&P 2019), section II-C: parameters move up the gradient of the
target records' loss. A participant whose training set holds a target pulls its loss back down in
its next local epoch; nobody pulls back a non-member's.

The paper's rule, a fixed rate on the loss of all targets in every round, hides more than it shows:
the climb moves the whole model, and the record that counts little in it least of all. What is done
here instead by default, and why:

- The length of a climb is a multiple of the length of an honest update, and a climb ends where its
  targets have lost some confidence. A fixed rate is either too small to be seen or the end of the
  model.
- Few targets are climbed in a round, a group after another: a climb of the same length then moves
  each of them further.
- It is the *confidence*, the probability of the true class, that is lowered. The loss of a record
  that is wrong already grows without bound and takes the whole climb; those that an attacker cannot
  tell apart yet are the confident ones.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from numpy.typing import NDArray
from torch import Tensor, nn

from fedsim import exchanged_state, load_exchanged, seeds
from fedsim.adversary.base import AttackerResources
from fedsim.data import MembershipQuery

RECORDS_A_PASS = 500
LOOKED_AT = 128  # targets whose confidence tells how far to climb
BISECTIONS = 6
MOST_BISECTIONS = 30  # where six leave nothing of a climb
ASCENTS, ROUNDS, LEFT = "ascents", "rounds", "left"
NO_LENGTH = -1.0
RecordIds = NDArray[np.int64]


@dataclass(frozen=True)
class Ascent:
    """When, on which targets, and how far to climb.

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
        How many targets are climbed in a round, one group after another; None takes all in each.
    steps
        Steps in a round, each on its share of the round's targets.
    objective
        What is climbed: minus the mean ``confidence`` in the true class, or the mean ``loss``.
    drop
        The climb is cut short where its targets' mean confidence, as seen on some of them, has
        fallen by so much; None does not look.
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

    def in_words(self) -> str:
        """Return when it climbs and what, for the words of a threat model."""
        until = "on" if self.last is None else f"to round {self.last}"
        climbed = (
            "raises the loss of the target records"
            if self.objective == "loss"
            else "lowers the model's confidence in the target records"
        )
        return f"from round {self.first} {until} it {climbed} by gradient ascent"

    def active(self, round_number: int) -> bool:
        """Return whether this round is an active one."""
        return self.first <= round_number and (self.last is None or round_number <= self.last)

    def chosen(
        self, briefing: AttackerResources, query: MembershipQuery, round_number: int
    ) -> RecordIds:
        """Return the targets (n,) that are climbed in a round; none in one that is not active.

        They are shuffled once and cut into groups of about `targets`, which take turns.
        """
        targets = briefing.targets_of(query)
        if not self.active(round_number):
            return targets[:0]
        groups = max(1, round(len(targets) / self.targets)) if self.targets else 1
        order = seeds.generator(briefing.seed, "targets", query.key).permutation(targets)
        return order[(round_number - self.first) % groups :: groups]

    def climb(
        self,
        arrays: ArrayRecord,
        briefing: AttackerResources,
        query: MembershipQuery,
        round_number: int,
        update_norm: float,
    ) -> tuple[ArrayRecord, float]:
        """Return parameters further up on the round's targets, and how much is left of the climb.

        The second is 1 for a climb that was not cut short, and 0 where nothing is left of it, as
        the smallest step costs the targets more confidence than `drop`; the parameters are those
        that were given then. Buffers stay as they are.

        Parameters
        ----------
        arrays
            Where to start.
        briefing
            The model, and the target records.
        query
            Whose targets.
        round_number
            Which round; it decides whose turn it is.
        update_norm
            Euclidean length of an honest update; used by a relative rate.
        """
        model = briefing.new_model()
        load_exchanged(model, arrays.to_torch_state_dict())
        model.eval()
        parameters = [p for p in model.parameters() if p.requires_grad]
        chosen = self.chosen(briefing, query, round_number)
        if self.drop is None:
            self._rise(model, parameters, briefing, chosen, update_norm)
            return _climbed(model, arrays), 1.0
        start = [parameter.detach().clone() for parameter in parameters]
        looked_at = chosen[:LOOKED_AT]  # they are in a random order
        least = _confidence(model, briefing, looked_at) - self.drop
        self._rise(model, parameters, briefing, chosen, update_norm)
        left = _shorten(parameters, start, lambda: _confidence(model, briefing, looked_at) >= least)
        return (_climbed(model, arrays), left) if left else (arrays, 0.0)

    def _rise(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        briefing: AttackerResources,
        chosen: RecordIds,
        update_norm: float,
    ) -> None:
        """Take all steps of a climb, each on its share of the targets."""
        for batch in np.array_split(chosen, self.steps):
            gradient = self._gradient(model, parameters, briefing, batch)
            step = self.rate
            if self.relative:
                step *= update_norm / (self.steps * max(_norm(gradient), 1e-12))
            step = min(step, torch.finfo(torch.float32).max)
            with torch.no_grad():
                for parameter, slope in zip(parameters, gradient, strict=True):
                    parameter.add_(slope, alpha=step)

    def _gradient(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        briefing: AttackerResources,
        batch: RecordIds,
    ) -> list[Tensor]:
        """Return the gradient of the objective's mean over a batch of records."""
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, len(batch), RECORDS_A_PASS):
            inputs, labels = briefing.dataset.batch(batch[start : start + RECORDS_A_PASS])
            losses = briefing.objective.per_record_loss(model(inputs), labels)
            climbed = losses if self.objective == "loss" else -torch.exp(-losses)
            # A layer that the model has and does not use has no gradient, and stays.
            part = torch.autograd.grad(climbed.sum() / len(batch), parameters, allow_unused=True)
            for whole, share in zip(total, part, strict=True):
                if share is not None:
                    whole += share
        return total


@torch.no_grad()
def _confidence(model: nn.Module, briefing: AttackerResources, records: RecordIds) -> float:
    """Return the mean of exp(-loss) over records: the probability of a record's true class."""
    total = 0.0
    for start in range(0, len(records), RECORDS_A_PASS):
        inputs, labels = briefing.dataset.batch(records[start : start + RECORDS_A_PASS])
        losses = briefing.objective.per_record_loss(model(inputs), labels)
        total += float(torch.exp(-losses).sum())
    return total / len(records)


@torch.no_grad()
def _shorten(
    parameters: Sequence[nn.Parameter], start: Sequence[Tensor], allowed: Callable[[], bool]
) -> float:
    """Go back towards `start`, by bisection, until the parameters are allowed.

    It goes on halving until something is allowed, and refines that. Returns the share that is left,
    0 if there is none.
    """
    if allowed():
        return 1.0
    end = [parameter.detach().clone() for parameter in parameters]
    low, high, steps = 0.0, 1.0, BISECTIONS
    while steps:
        share = (low + high) / 2
        for parameter, first, furthest in zip(parameters, start, end, strict=True):
            parameter.copy_(torch.lerp(first, furthest, share))
        if allowed():
            low = share
        else:
            high = share
        steps -= 1
        if not (steps or low) and high > 2.0**-MOST_BISECTIONS:
            steps = 1
        elif not steps and low and high == 2 * low <= 2.0**-BISECTIONS:
            steps = BISECTIONS - 1
    for parameter, first, furthest in zip(parameters, start, end, strict=True):
        parameter.copy_(torch.lerp(first, furthest, low) if low else first)
    stayed = all(torch.equal(p, first) for p, first in zip(parameters, start, strict=True))
    return 0.0 if stayed else low


def _climbed(model: nn.Module, arrays: ArrayRecord) -> ArrayRecord:
    """Return a climbed model's parameters, tied ones by all their names, and buffers as given."""
    state = exchanged_state(model)
    own = {p.data_ptr() for p in model.parameters() if p.requires_grad}
    climbed = ArrayRecord(state)
    return ArrayRecord(
        {n: climbed[n] if v.data_ptr() in own else arrays[n] for n, v in state.items()}
    )


def distance(left: ArrayRecord, right: ArrayRecord, names: Collection[str]) -> float:
    """Return the Euclidean distance of two sets of parameters, of the arrays that are named."""
    ours, theirs = left.to_torch_state_dict(), right.to_torch_state_dict()
    return _norm([v.double() - theirs[name].double() for name, v in ours.items() if name in names])


def moved(base: ArrayRecord, start: ArrayRecord, end: ArrayRecord, factor: float) -> ArrayRecord:
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


def note_ascent(memory: RecordDict, round_number: int, left: float | None) -> None:
    """Remember how much was left of a round's climb; None where it had no length to go by."""
    rounds, shares = _ascents(memory)
    memory[ASCENTS] = MetricRecord(
        {ROUNDS: [*rounds, round_number], LEFT: [*shares, NO_LENGTH if left is None else left]}
    )


def ascent_remarks(memory: RecordDict, drop: float | None) -> tuple[str, ...]:
    """Return a sentence for the rounds in which nothing was climbed, if there are any."""
    rounds, shares = _ascents(memory)
    told = []
    for share, why in (
        (0.0, f"the shortest ascent lowered the targets' confidence by more than drop = {drop}"),
        (NO_LENGTH, "there was no honest update yet to take its length from"),
    ):
        none = [r for r, left in zip(rounds, shares, strict=True) if left == share]
        if none:
            told.append(
                f"no gradient ascent in {len(none)} of {len(rounds)} active rounds "
                f"({', '.join(map(str, none))}): {why}; there it did what a passive attacker does"
            )
    return tuple(told)


def _ascents(memory: RecordDict) -> tuple[list[int], list[float]]:
    record = memory.get(ASCENTS)
    if not isinstance(record, MetricRecord):
        return [], []
    columns = (record[name] for name in (ROUNDS, LEFT))
    rounds, shares = (column if isinstance(column, list) else [] for column in columns)
    return [int(one) for one in rounds], [float(one) for one in shares]


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))
