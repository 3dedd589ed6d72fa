"""Training one participant after the other with one PyTorch model: any model, any trainer."""

from collections.abc import Iterable, Mapping

import torch
from flwr.app import ArrayRecord, Context, Message

from fedsim import seeds
from fedsim.errors import MessageError
from fedsim.models.exchange import exchanged_state, load_exchanged
from fedsim.training.client_tasks import ClientTask, Participants, Received, Trained
from fedsim.training.optimizers import optimizer_factory
from fedsim.training.sgd import SGD
from fedsim.training.sgd_loop import Utility, evaluate
from fedsim.training.trainer import Batches, TrainerState
from fedsim.training.training_memory import TrainingMemory, TrainingResult
from fedsim.transport.buffer_pool import BufferLayout, Uploads
from fedsim.transport.lazy_arrays import all_finite_or_none, as_array_record


class SequentialTrainer:
    """Trains and evaluates the participants of a federation.

    Parameters
    ----------
    participants
        What they have in common, and what each holds.
    memory
        Results that federations of a run have in common; only plain descent is looked up.

    Raises
    ------
    ConfigError, PluginError
        If the trainer, or its optimiser, is not valid.
    """

    def __init__(self, participants: Participants, memory: TrainingMemory | None = None) -> None:
        local, optimizer = participants.local, participants.local.optimizer
        self._participants = participants
        self._trainer = participants.new_trainer()
        plain = type(self._trainer) is SGD and self._trainer.plain
        self._memory = memory if plain else None
        self._model = participants.new_model()
        # With the first one torch loads its compiler: now, as forks that come later share it then.
        new_optimizer = optimizer_factory(optimizer.name, optimizer.settings)
        new_optimizer(self._model.parameters(), local.learning_rate)
        self._received = Received(self._model)
        self.uploads = Uploads()
        self._layout = BufferLayout.of(exchanged_state(self._model))

    def foresee(self, asked: Iterable[tuple[Message, Context]]) -> None:
        """Do nothing: training ahead of time would not be faster."""

    def task(self, message: Message, context: Context) -> ClientTask:
        """Return what a message asks of a node."""
        return ClientTask.of(message, context)

    def train(self, task: ClientTask) -> Trained:
        """Train a participant from the parameters that it was sent."""
        common = self._participants
        batches = common.batches(task.participant, task.round, task.proximal)
        state = TrainerState.of(task.kept, task.plain) if common.keep_state else TrainerState()
        if self._memory is None:
            self._load(task)
            figures = self._fitted(task, batches, state)
        else:
            figures = self._remembered(task, batches, state, self._memory)
        utility = _utility(figures, batches)
        return Trained(self._uploaded(), state.array_record(), utility, state.config_record())

    def _fitted(
        self, task: ClientTask, batches: Batches, state: TrainerState
    ) -> Mapping[str, float]:
        path = (self._participants.seed, "training", task.round, task.participant)
        device = self._participants.dataset.device
        with seeds.global_draws(*path, device=device):
            return self._trainer.fit(
                self._model, batches, state, seeds.torch_generator(*path), device
            )

    def _remembered(
        self, task: ClientTask, batches: Batches, state: TrainerState, memory: TrainingMemory
    ) -> Mapping[str, float]:
        """Train, or put in what another federation's training of the same gave."""

        def train() -> TrainingResult:
            self._load(task)
            figures = self._fitted(task, batches, state)
            return TrainingResult(exchanged_state(self._model), state.arrays, figures)

        result = memory.result(task, self._received.by(task), train)
        state.arrays = dict(result.state)
        load_exchanged(self._model, result.parameters)
        return result.figures

    def evaluate(self, task: ClientTask) -> Utility:
        """Evaluate the parameters that a participant was sent."""
        self._load(task)
        records = self._participants.evaluated(task.participant)
        common = self._participants
        return evaluate(self._model, common.dataset, records, common.objective)

    def _uploaded(self) -> ArrayRecord:
        """Return a copy of the model's parameters."""
        trained = exchanged_state(self._model)
        rooms = self.uploads.rooms(1, self._layout)
        for [room], value in zip(rooms.tensors, trained.values(), strict=True):
            room.copy_(value)
        copies = {n: t[0].numpy() for n, t in zip(trained, rooms.tensors, strict=True)}
        place = None if rooms.places is None else rooms.places[0]
        return as_array_record(copies, finite=all_finite_or_none(rooms.tensors), room=place)

    @torch.no_grad()
    def _load(self, task: ClientTask) -> None:
        received = self._received.by(task)
        for name, value in exchanged_state(self._model).items():
            value.copy_(received[name])


def _utility(figures: Mapping[str, float], batches: Batches) -> Utility:
    """Return what a trainer's figures say.

    Raises
    ------
    MessageError
        If one is not a number.
    """
    for name, value in figures.items():
        if not isinstance(value, int | float):
            raise MessageError(f"the local trainer reports {name!r} as {value!r}, not a number")
    term = batches.objective.utility.term
    others = {name: float(v) for name, v in figures.items() if name not in ("loss", term)}
    records = batches.local.epochs * batches.records_a_pass
    return Utility(figures.get("loss"), figures.get(term), records, others)
