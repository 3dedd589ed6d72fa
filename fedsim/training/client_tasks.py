"""The participants of a federation, their records, and their task in a round."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message
from torch import Tensor, nn

from fedsim import seeds
from fedsim.config.federation import LocalTraining
from fedsim.data import Dataset
from fedsim.errors import MessageError
from fedsim.models.exchange import exchanged_shapes, exchanged_state
from fedsim.objectives import Classification, Objective
from fedsim.training.sgd_loop import Utility
from fedsim.training.trainer import Batches, LocalTrainer, RecordIds, build_trainer
from fedsim.transport.lazy_arrays import tensors_of
from fedsim.transport.messages import PARTICIPANT, arrays_of, proximal_of, require_usable, round_of

OPTIMIZER_STATE = "fedsim-optimizer"
"""Where a node's context has the arrays that its trainer keeps."""
PLAIN_STATE = "fedsim-trainer"
"""Where it has the plain values."""


@dataclass(frozen=True)
class Participants:
    """What the participants of a federation have in common, and who holds which records.

    Attributes
    ----------
    dataset
        All records there are.
    training_records
        One array of record ids a participant.
    new_model
        Makes the model; called once a process.
    local
        How a participant trains.
    evaluation_records
        The most records that a participant evaluates on; None for all.
    seed
        The experiment's seed.
    objective
        What is learned.
    rounds
        How many rounds the federation has, for schedules over all of them.
    wrap_trainer
        What defences put around the local trainer; None where they leave it as it is.
    """

    dataset: Dataset
    training_records: Sequence[RecordIds]
    new_model: Callable[[], nn.Module]
    local: LocalTraining
    evaluation_records: int | None
    seed: int
    objective: Objective = field(default_factory=Classification)
    rounds: int = 1
    wrap_trainer: Callable[[LocalTrainer], LocalTrainer] | None = None

    def new_trainer(self) -> LocalTrainer:
        """Return the trainer that `local` names, with what defences put around it."""
        trainer = build_trainer(self.local)
        return trainer if self.wrap_trainer is None else self.wrap_trainer(trainer)

    @cached_property
    def keep_state(self) -> bool:
        """Whether participants keep what their trainers remember from round to round."""
        return self.new_trainer().remembers(self.local)

    def batches(self, participant: int, round_number: int, proximal: float = 0.0) -> Batches:
        """Return what a participant trains on in a round."""
        return Batches(
            self.dataset,
            self.training_records[participant],
            self.objective,
            self.local,
            self.seed,
            round_number,
            participant,
            self.rounds,
            proximal,
        )

    def evaluated(self, participant: int) -> RecordIds:
        """Return the records, always the same, that a participant evaluates on."""
        return sampled(
            self.training_records[participant], self.evaluation_records, self.seed, participant
        )


def sampled(records: RecordIds, at_most: int | None, seed: int, who: int | str) -> RecordIds:
    """Return `records`, or a seeded sample of them when there are more than `at_most`."""
    if at_most is None or len(records) <= at_most:
        return records
    return np.sort(seeds.generator(seed, "evaluated", who).choice(records, at_most, replace=False))


def participant_of(context: Context) -> int:
    """Return the participant that a node is: its ``partition-id``.

    Raises
    ------
    MessageError
        If its configuration does not say so.
    """
    found = context.node_config.get(PARTICIPANT)
    if not isinstance(found, int):
        raise MessageError(
            f"node {context.node_id} does not say which participant it is; its node "
            f"configuration must have {PARTICIPANT}=N, with N from 0"
        )
    return found


@dataclass(frozen=True)
class TaskRequest:
    """What the content of a message asks for: the same for all that are sent the same one."""

    round: int
    proximal: float
    arrays: ArrayRecord

    @classmethod
    def by(cls, message: Message) -> "TaskRequest":
        """Return what a message asks for.

        Raises
        ------
        MessageError
            If it does not say its round, or has no parameters.
        """
        content = message.content
        return cls(round_of(message), proximal_of(message), arrays_of(content, "the server"))


@dataclass(frozen=True, eq=False)
class ClientTask:
    """What one participant is asked to do: in which round, from which parameters.

    Attributes
    ----------
    kind
        Flower's message type.
    participant, round
        Who, and when.
    proximal
        The mu of FedProx; see `fedsim.training.trainer.Batches`.
    arrays
        The parameters that it was sent.
    kept, plain
        What its trainer kept from an earlier round: arrays, and plain values.
    """

    kind: str
    participant: int
    round: int
    proximal: float
    arrays: ArrayRecord
    kept: ArrayRecord | None
    plain: ConfigRecord | None = None

    @classmethod
    def of(
        cls, message: Message, context: Context, asked: TaskRequest | None = None
    ) -> "ClientTask":
        """Return what a message asks of a node; `asked` is what its content does, if known.

        Raises
        ------
        MessageError
            If the message does not say its round, or has no parameters.
        """
        kept, plain = context.state.get(OPTIMIZER_STATE), context.state.get(PLAIN_STATE)
        asked = asked or TaskRequest.by(message)
        return cls(
            message.metadata.message_type,
            participant_of(context),
            asked.round,
            asked.proximal,
            asked.arrays,
            kept if isinstance(kept, ArrayRecord) else None,
            plain if isinstance(plain, ConfigRecord) else None,
        )

    @cached_property
    def start(self) -> tuple[int, ...]:
        """The identity of its parameters while it exists: which arrays they are."""
        return tuple(map(id, self.arrays.values()))

    @cached_property
    def identity(self) -> Hashable:
        """Its identity among tasks while it exists."""
        kept = () if self.kept is None else tuple(map(id, self.kept.values()))
        return self.kind, self.participant, self.round, self.proximal, self.start, kept


class Received:
    """Parameters as tensors, checked; once for all participants that are sent the same ones.

    They have the types of the model's own, and lie where it does: a strategy may compute in another
    precision than participants do, and a mean over integer or bool buffers is a floating-point
    number.

    Parameters
    ----------
    model
        Whose names, shapes and types they must have.
    """

    def __init__(self, model: nn.Module) -> None:
        self._expected = exchanged_shapes(model)
        self._like = {
            name: torch.empty(0, dtype=value.dtype, device=value.device)
            for name, value in exchanged_state(model).items()
        }
        self._latest: tuple[ClientTask, dict[str, Tensor]] | None = None

    def by(self, task: ClientTask) -> dict[str, Tensor]:
        """Return the parameters of a task, which are not to be changed.

        Raises
        ------
        MessageError
            If they do not fit the model, or are not finite.
        """
        if self._latest is None or self._latest[0].start != task.start:
            require_usable(task.arrays, self._expected, f"the server in round {task.round}")
            tensors = tensors_of(task.arrays)
            self._latest = task, {n: value.to(self._like[n]) for n, value in tensors.items()}
        return self._latest[1]


@dataclass(frozen=True)
class Trained:
    """What a participant's training gave: parameters, its trainer's state, and figures."""

    arrays: ArrayRecord
    kept: ArrayRecord | None
    utility: Utility
    plain: ConfigRecord | None = None
