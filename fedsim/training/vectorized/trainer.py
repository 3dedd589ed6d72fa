"""Which participants of a round are trained together, and when.

The app learns what is coming and plans stacks; a stack is trained when the first of its members is
asked for, and the others' results wait until their own messages come. Each message still passes its
participant's mods: a dishonest participant that changes what it trains on asks for something that
was not planned, and is trained by itself.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from flwr.app import Context, Message, MessageType, RecordDict

from fedsim.errors import ConfigError, MessageError
from fedsim.objectives import Classification
from fedsim.training.client_tasks import ClientTask, Participants, Received, TaskRequest, Trained
from fedsim.training.sgd import SGD
from fedsim.training.sgd_loop import EVALUATION_BATCH, Utility
from fedsim.training.trainer import RecordIds, build_trainer
from fedsim.training.vectorized.batches import filled_size
from fedsim.training.vectorized.layers import stacked_model
from fedsim.training.vectorized.optimizers import stacked_optimizer
from fedsim.training.vectorized.sgd_loop import Member, VectorizedLoop

Result = TypeVar("Result", Trained, Utility)
MANY = 10  # participants


class VectorizedTrainer:
    """Trains and evaluates the participants of a federation, many at once.

    Raises
    ------
    ConfigError
        If they cannot be stacked; the sentence says why.
    """

    def __init__(self, participants: Participants) -> None:
        self._participants = participants
        self._training = required_stack_training(participants)
        self._received = Received(participants.new_model())
        self.uploads = self._training.uploads
        self._foreseen: dict[int, tuple[Message, RecordDict, ClientTask]] = {}
        self._planned: dict[Hashable, Stack] = {}
        self._trained: dict[Hashable, tuple[ClientTask, Trained]] = {}
        self._evaluated: dict[Hashable, tuple[ClientTask, Utility]] = {}

    def foresee(self, asked: Iterable[tuple[Message, Context]]) -> None:
        """Plan the stacks of messages that are about to come; forget what was planned before."""
        plan_stacks([(self, asked)])

    def tasks(self, asked: Iterable[tuple[Message, Context]]) -> Iterator[ClientTask]:
        """Yield what is about to be asked; forget what was planned before."""
        for made in (self._foreseen, self._planned, self._trained, self._evaluated):
            made.clear()
        contents: dict[int, TaskRequest] = {}
        for message, context in asked:
            with suppress(MessageError):  # it will be raised when the message comes
                content = message.content
                if id(content) not in contents:
                    contents[id(content)] = TaskRequest.by(message)
                task = ClientTask.of(message, context, contents[id(content)])
                self._foreseen[id(message)] = message, content, task
                yield task

    def alike(self, task: ClientTask) -> Hashable:
        """Return what two tasks must have in common to be in one stack."""
        size = filled_size(len(self._records(task)), self._batch_size(task))
        return task.kind, task.round, task.proximal, size

    def fitting(self, task: ClientTask) -> int:
        """Return how many such tasks are worth stacking at once."""
        return self._training.fitting(
            len(self._records(task)), self._batch_size(task), _trains(task)
        )

    def plan(self, task: ClientTask, stack: "Stack") -> None:
        """Take note of the stack that a task goes with."""
        self._planned[task.identity] = stack

    def task(self, message: Message, context: Context) -> ClientTask:
        """Return what a message asks of a node, as foreseen if its content is still the same one.

        An engine copies the content where a mod could have changed it.
        """
        _, content, task = self._foreseen.pop(id(message), (None, None, None))
        if task is not None and message.content is content:
            return task
        return ClientTask.of(message, context)

    def train(self, task: ClientTask) -> Trained:
        """Train a participant, and those that were planned to go with it."""
        return self._result(task, lambda trainer: trainer._trained, self._train)

    def evaluate(self, task: ClientTask) -> Utility:
        """Evaluate what a participant was sent, and what others were."""
        return self._result(task, lambda trainer: trainer._evaluated, self._evaluate)

    def _result(
        self,
        task: ClientTask,
        waiting: Callable[["VectorizedTrainer"], dict[Hashable, tuple[ClientTask, Result]]],
        make: Callable[["Stack"], list[Result]],
    ) -> Result:
        if task.identity not in waiting(self):
            stack = self._planned.pop(task.identity, ((self, task),))
            for (trainer, one), result in zip(stack, make(stack), strict=True):
                # With their tasks: an identity is one as long as the task is there.
                waiting(trainer)[one.identity] = one, result
        return waiting(self).pop(task.identity)[1]

    def _train(self, stack: "Stack") -> list[Trained]:
        members, first = [trainer._member(task) for trainer, task in stack], stack[0][1]
        return self._training.train(members, first.round, first.proximal)

    def _evaluate(self, stack: "Stack") -> list[Utility]:
        return self._training.evaluate([trainer._member(task) for trainer, task in stack])

    def _member(self, task: ClientTask) -> Member:
        return Member(
            task.participant,
            self._records(task),
            self._received.by(task),
            self._participants.seed,
            task.kept if _trains(task) and self._participants.keep_state else None,
        )

    def _records(self, task: ClientTask) -> RecordIds:
        if _trains(task):
            return self._participants.training_records[task.participant]
        return self._participants.evaluated(task.participant)

    def _batch_size(self, task: ClientTask) -> int:
        return self._participants.local.batch_size if _trains(task) else EVALUATION_BATCH


Stack = Sequence[tuple[VectorizedTrainer, ClientTask]]
"""Tasks that are done together, each with its own federation's trainer."""


def plan_stacks(
    asked: Sequence[tuple[VectorizedTrainer, Iterable[tuple[Message, Context]]]],
) -> None:
    """Plan the stacks of messages that are about to come to the participants of some federations.

    Parameters
    ----------
    asked
        The trainer of each federation with its messages. The federations have a data set, a model
        and training settings in common.
    """
    alike: dict[Hashable, list[tuple[VectorizedTrainer, ClientTask]]] = {}
    for trainer, messages in asked:
        for task in trainer.tasks(messages):
            alike.setdefault(trainer.alike(task), []).append((trainer, task))
    for tasks in alike.values():
        first, task = tasks[0]
        at_once = first.fitting(task)
        for start in range(0, len(tasks), at_once):
            stack = tasks[start : start + at_once]
            for trainer, one in stack:
                trainer.plan(one, stack)


def stack_training(participants: Participants) -> VectorizedLoop | str:
    """Return what trains participants stacked, or why that cannot be.

    Raises
    ------
    PluginError
        If the optimiser's settings are not valid.
    """
    local = participants.local
    if type(participants.objective) is not Classification:
        return "its objective is not classification, the only one that can be stacked"
    if participants.wrap_trainer is not None:
        return "a defence wraps its local trainer"
    trainer = build_trainer(local)
    if not (type(trainer) is SGD and trainer.plain):
        return (
            f"its trainer is {local.trainer.name} with settings of its own, and only sgd without "
            "any can be stacked"
        )
    if local.drop_last:
        return "federation.local.drop_last is true"
    network = participants.new_model()
    if not all(parameter.requires_grad for parameter in network.parameters()):
        return "some of the model's parameters are frozen"
    model = stacked_model(network)
    if isinstance(model, str):
        return model
    optimizer = stacked_optimizer(local.optimizer.name, local.optimizer.settings)
    if isinstance(optimizer, str):
        return optimizer
    if local.precision != "fp32":
        return f"its precision is {local.precision}, and only fp32 can be stacked"
    return VectorizedLoop(model, optimizer, participants.dataset, local)


def required_stack_training(participants: Participants) -> VectorizedLoop:
    """Return what trains participants stacked.

    Raises
    ------
    ConfigError
        If they cannot be stacked; the sentence says why.
    PluginError
        If the optimiser's settings are not valid.
    """
    found = stack_training(participants)
    if isinstance(found, str):
        raise ConfigError(
            f"engine.stacked is true, but this training cannot be stacked: {found}; set "
            "engine.stacked to auto or false"
        )
    return found


def stacking_pays(participants: Participants) -> bool:
    """Return whether training stacked is possible, and worth it: for ten participants or more.

    Small networks share their calls; large ones, each in a stack of its own, save the writing of
    gradients. It goes by numbers and not by the clock, as the choice decides the last digits.
    """
    if sum(len(own) > 0 for own in participants.training_records) < MANY:
        return False
    return not isinstance(stack_training(participants), str)


def _trains(task: ClientTask) -> bool:
    return task.kind.partition(".")[0] == MessageType.TRAIN
