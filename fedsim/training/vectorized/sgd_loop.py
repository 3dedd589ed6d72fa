"""Local training and evaluation of many participants at once, their parameters stacked.

They may be of several federations that go on in step, with other seeds and other parameters.

What it computes is what `training` computes for each of them, but for the last digits: the same
shuffles, batches and steps. Participants whose batches have the same sizes go together; a last
batch is filled up to a round size with records that weigh nothing, so that a few sizes are enough.
What comes out for a participant depends on its own records only, not on who went with it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from flwr.app import ArrayRecord
from torch import Tensor

from fedsim import seeds
from fedsim.config.federation import LocalTraining
from fedsim.data import Dataset
from fedsim.training.client_tasks import Trained
from fedsim.training.sgd_loop import EVALUATION_BATCH, Utility
from fedsim.training.trainer import RecordIds
from fedsim.training.vectorized.batches import StackedSums, stacked_batches
from fedsim.training.vectorized.layers import Gradient, StackedModel
from fedsim.training.vectorized.optimizers import StackedOptimizer, State
from fedsim.transport.buffer_pool import BufferLayout, Room, Uploads
from fedsim.transport.lazy_arrays import all_finite_or_none, as_array_record, tensors_of

DEVICE_STACK_BYTES = 2**28  # on a device other than the CPU, which has much to do at once
STACK_BYTES = 2**22  # of parameters and inputs at once: more do not stay in a core's cache
ONE_STEP_BYTES = 2**24  # where there is one step only, for which nothing has to stay there
LARGEST_STACK = 64  # participants
LARGEST_DEVICE_STACK = 1024


@dataclass(frozen=True)
class Member:
    """A participant in a stack.

    Attributes
    ----------
    participant, records
        Its number, and what it trains or evaluates on.
    received
        The parameters that it was sent.
    seed
        Its federation's.
    kept
        Its optimiser's state, if there is one.
    """

    participant: int
    records: RecordIds
    received: Mapping[str, Tensor]
    seed: int
    kept: ArrayRecord | None = None


@dataclass(frozen=True)
class VectorizedLoop:
    """Trains and evaluates all given participants at once.

    Attributes
    ----------
    model, optimizer
        The stacked forms of the participants' own.
    dataset
        Where their records are.
    local
        How they train.
    uploads
        The memory that trained parameters are written to.
    """

    model: StackedModel
    optimizer: StackedOptimizer
    dataset: Dataset
    local: LocalTraining
    uploads: Uploads = field(default_factory=Uploads)

    def fitting(self, records: int, batch_size: int, trained: bool) -> int:
        """Return how many participants with that many records each are worth stacking at once."""
        parameters = sum(shape.numel() for shape in self.model.shapes.values()) * trained
        inputs = min(records, batch_size) * math.prod(self.dataset.input_shape)
        one_step = trained and self.local.epochs == 1 and records <= batch_size
        most, largest = ONE_STEP_BYTES if one_step else STACK_BYTES, LARGEST_STACK
        if self.dataset.device.type != "cpu":
            most, largest = DEVICE_STACK_BYTES, LARGEST_DEVICE_STACK
        return max(1, min(largest, most // (4 * (parameters + inputs))))

    def train(
        self,
        members: Sequence[Member],
        round_number: int,
        proximal: float,
    ) -> list[Trained]:
        """Train participants that have the same `filled_size`.

        See `fedsim.training.trainer.Batches` for `proximal`.
        """
        stack = _Stack.of(self, members, proximal)
        rate = self.local.learning_rate_in(round_number)
        tally = StackedSums.of(len(members), self.dataset.device)
        for shuffled in self._epochs(members, round_number):
            for batch in stacked_batches(self.dataset, shuffled, self.local.batch_size):
                values = self.model.forward(batch.inputs, stack.parameters)
                delta = tally.add(values[-1], batch)
                stack.step(self.model.backward(delta, values, stack.parameters), rate)
        utilities = tally.utilities([self.local.epochs * len(m.records) for m in members])
        ended = zip(stack.members(), utilities, strict=True)
        return [Trained(arrays, kept, utility) for (arrays, kept), utility in ended]

    def _epochs(
        self, members: Sequence[Member], round_number: int
    ) -> Iterator[Sequence[RecordIds]]:
        """Yield each participant's records in the order of each epoch."""
        if all(len(member.records) <= self.local.batch_size for member in members):
            # All in one batch: their order would decide nothing but the last digits of its sums.
            yield from [[member.records for member in members]] * self.local.epochs
            return
        orders = [
            seeds.generator(member.seed, "batches", round_number, member.participant)
            for member in members
        ]
        for _ in range(self.local.epochs):
            yield [
                order.permutation(member.records)
                for order, member in zip(orders, members, strict=True)
            ]

    def evaluate(self, members: Sequence[Member]) -> list[Utility]:
        """Return the utility on each participant's records of what it was sent.

        Participants must have the same `filled_size`, for batches of `EVALUATION_BATCH`.
        """
        received = list(_received(members, self.model.shapes).values())
        tally = StackedSums.of(len(members), self.dataset.device)
        for batch in stacked_batches(self.dataset, [m.records for m in members], EVALUATION_BATCH):
            tally.add(self.model.forward(batch.inputs, received)[-1], batch)
        return tally.utilities([len(member.records) for member in members])


def _received(members: Sequence[Member], names: Iterable[str]) -> dict[str, Tensor]:
    """Return what members were sent, stacked: in the same memory where it is the same."""
    first = members[0].received
    if all(member.received is first for member in members):
        return {n: first[n].expand(len(members), *first[n].shape) for n in names}
    return {n: torch.stack([member.received[n] for member in members]) for n in names}


def _on_cpu(parameter: Tensor) -> Tensor:
    """Return a tensor like one parameter of a stack, with any values, on the CPU."""
    return torch.empty_like(parameter, device="cpu")


def _placed(states: Sequence[Tensor], parameter: Tensor) -> Tensor:
    """Return what models keep, stacked, where the parameter is; counts of steps stay on the CPU."""
    stacked = torch.stack(list(states))
    return stacked if stacked.dim() == 1 else stacked.to(parameter.device)


@dataclass
class _Stack:
    """The parameters of several participants while they train, and what their optimisers keep."""

    optimizer: StackedOptimizer
    uploads: Uploads
    received: dict[str, Tensor]
    single: dict[str, Tensor]
    parameters: list[Tensor]
    states: list[State]
    proximal: float
    untouched: bool = True
    places: list[Room] | None = None

    @classmethod
    def of(
        cls,
        training: VectorizedLoop,
        members: Sequence[Member],
        proximal: float,
    ) -> "_Stack":
        single = {name: members[0].received[name] for name in training.model.shapes}
        received = _received(members, single)
        kept = [{} if m.kept is None else tensors_of(m.kept) for m in members]
        states = [
            {
                key: _placed([own.get(f"{number}.{key}", fresh) for own in kept], parameter)
                for key, fresh in training.optimizer.fresh(_on_cpu(parameter)).items()
            }
            for number, parameter in enumerate(single.values())
        ]
        parameters = list(received.values())
        return cls(
            training.optimizer, training.uploads, received, single, parameters, states, proximal
        )

    def step(self, gradients: Mapping[int, Gradient], rate: float) -> None:
        """Let each participant take a step."""
        if self.untouched:  # until now they had the parameters that they were sent
            if self.parameters[0].device.type == "cpu":
                self._move_to_uploads()
            else:
                self.parameters = [shared.clone() for shared in self.parameters]
            self.untouched = False
        received = list(self.received.values())
        for number, gradient in gradients.items():
            parameter = self.parameters[number]
            if self.proximal:
                pull = (parameter - received[number]).mul_(self.proximal)
                gradient = replace(gradient, also=pull)
            self.optimizer.step(parameter, gradient, self.states[number], rate)

    def _move_to_uploads(self) -> None:
        """Have the parameters lie where uploads do, in the memory of the CPU."""
        rooms = self.uploads.rooms(len(self.parameters[0]), BufferLayout.of(self.single))
        for own, shared in zip(rooms.tensors, self.parameters, strict=True):
            own.copy_(shared)
        self.parameters, self.places = rooms.tensors, rooms.places

    def members(self) -> Iterator[tuple[ArrayRecord, ArrayRecord | None]]:
        """Yield the parameters and the optimiser's state, if it has one, of each participant."""
        if self.parameters[0].device.type != "cpu":  # once a round, for the whole stack
            self._move_to_uploads()
        finite = all_finite_or_none(self.parameters)
        parameters = [(n, p.numpy()) for n, p in zip(self.received, self.parameters, strict=True)]
        states = [
            (f"{number}.{key}", stacked.cpu().numpy())
            for number, state in enumerate(self.states)
            for key, stacked in state.items()
        ]
        for place in range(len(parameters[0][1])):
            # What is kept for many rounds is copied, or it would keep that of the whole stack.
            uploaded = {name: stacked[place, ...] for name, stacked in parameters}
            room = None if self.places is None else self.places[place]
            kept = {key: np.array(stacked[place]) for key, stacked in states}
            yield (
                as_array_record(uploaded, finite=finite, room=room),
                as_array_record(kept) if kept else None,
            )
