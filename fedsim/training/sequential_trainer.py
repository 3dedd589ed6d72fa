"""Training one participant after the other with one PyTorch model: any model, any optimiser."""

from collections.abc import Iterable

import torch
from flwr.app import ArrayRecord, Context, Message

from fedsim.training.client_tasks import ClientTask, Participants, Received, Trained
from fedsim.training.optimizers import optimizer_arrays, optimizer_factory, restore_optimizer
from fedsim.training.sgd_loop import Utility, evaluate, train_locally
from fedsim.transport.buffer_pool import BufferLayout, Uploads
from fedsim.transport.lazy_arrays import recorded, seen_finite
from fedsim.transport.messages import shapes_of


class SequentialTrainer:
    """Trains and evaluates the participants of a federation.

    Raises
    ------
    ConfigError, PluginError
        If the optimiser is not valid.
    """

    def __init__(self, participants: Participants) -> None:
        local, optimizer = participants.local, participants.local.optimizer
        self._participants = participants
        self._new_optimizer = optimizer_factory(optimizer.name, optimizer.settings)
        self._model = participants.new_model()
        # With the first one torch loads its compiler: now, as forks that come later share it then.
        self._new_optimizer(self._model.parameters(), local.learning_rate)
        self._received = Received(shapes_of(self._model))
        self.uploads = Uploads()
        self._layout = BufferLayout.of(self._model.state_dict())

    def foresee(self, asked: Iterable[tuple[Message, Context]]) -> None:
        """Do nothing: one at a time is as quick when its time has come."""

    def task(self, message: Message, context: Context) -> ClientTask:
        """Return what a message asks of a node."""
        return ClientTask.of(message, context)

    def train(self, task: ClientTask) -> Trained:
        """Train a participant from the parameters that it was sent."""
        common, model = self._participants, self._model
        local = common.local
        self._load(task)
        optimizer = self._new_optimizer(model.parameters(), local.learning_rate_in(task.round))
        if common.keep_state and task.kept is not None:
            restore_optimizer(optimizer, task.kept)
        utility = train_locally(
            model,
            optimizer,
            common.dataset,
            common.training_records[task.participant],
            local,
            (common.seed, task.round, task.participant),
            task.proximal,
        )
        return Trained(self._uploaded(), optimizer_arrays(optimizer) or None, utility)

    def evaluate(self, task: ClientTask) -> Utility:
        """Evaluate the parameters that a participant was sent."""
        self._load(task)
        records = self._participants.evaluated(task.participant)
        return evaluate(self._model, self._participants.dataset, records)

    def _uploaded(self) -> ArrayRecord:
        """Return a copy of the model's parameters."""
        trained = self._model.state_dict()
        rooms = self.uploads.rooms(1, self._layout)
        for [room], value in zip(rooms.tensors, trained.values(), strict=True):
            room.copy_(value)
        copies = {n: t[0].numpy() for n, t in zip(trained, rooms.tensors, strict=True)}
        place = None if rooms.places is None else rooms.places[0]
        return recorded(copies, finite=seen_finite(rooms.tensors), room=place)

    @torch.no_grad()
    def _load(self, task: ClientTask) -> None:
        received = self._received.by(task)
        for name, value in self._model.state_dict().items():
            value.copy_(received[name])
