"""The participants' side: a Flower ClientApp that trains on the data of its node's participant."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from fedsim.objectives import Objective
from fedsim.training.client_tasks import (
    OPTIMIZER_STATE,
    PLAIN_STATE,
    ClientTask,
    Participants,
    Trained,
    participant_of,
    sampled,
)
from fedsim.training.sequential_trainer import SequentialTrainer
from fedsim.training.sgd_loop import Utility
from fedsim.training.training_memory import TrainingMemory
from fedsim.training.vectorized.trainer import VectorizedTrainer, plan_stacks
from fedsim.transport.buffer_pool import BufferPool, Uploads
from fedsim.transport.flower_records import FastMetrics
from fedsim.transport.messages import ARRAYS, EXAMPLES, METRICS, PARTICIPANT
from fedsim.transport.record_views import Content

__all__ = [
    "OPTIMIZER_STATE",
    "PLAIN_STATE",
    "Participants",
    "PrefetchingApp",
    "answer_identification",
    "make_client_app",
    "participant_of",
    "sampled",
]


class Trainer(Protocol):
    """Trains and evaluates the participants of a federation, one at a time or stacked."""

    uploads: Uploads

    def foresee(self, asked: Iterable[tuple[Message, Context]]) -> None:
        """Take note of messages that will arrive next."""

    def task(self, message: Message, context: Context) -> ClientTask:
        """Return the task that a message gives to a node."""

    def train(self, task: ClientTask) -> Trained:
        """Train a participant, starting from the parameters that it received."""

    def evaluate(self, task: ClientTask) -> Utility:
        """Evaluate the parameters that a participant received."""


class PrefetchingApp(ClientApp):
    """A ClientApp that can be given coming messages in advance, and then computes them together.

    Every message still passes through the app and its mods, one by one. A result that was computed
    in advance is used only if the message arrives unchanged, so no number depends on it.

    Attributes
    ----------
    only_reads
        Whether it leaves the contents of messages unchanged; a mod may change them.
    stacked
        Whether it trains many participants in one stacked computation.
    forgets
        Whether participants keep no state between rounds.
    """

    def __init__(self, trainer: Trainer, mods: Sequence[Mod], *, keep_state: bool) -> None:
        super().__init__(mods=list(mods))
        self._trainer = trainer
        self.only_reads = not mods
        self.forgets = not mods and not keep_state
        self.stacked = isinstance(trainer, VectorizedTrainer)

    def use_upload_pool(self, pool: BufferPool | None) -> None:
        """Write participants' uploads into this pool; with None, into newly allocated memory."""
        self._trainer.uploads.use_pool(pool)

    def foresee(self, asked: Iterable[tuple[Message, Context]]) -> None:
        """Take note of messages that will arrive next, each with its node's context."""
        self._trainer.foresee(asked)

    @staticmethod
    def foresee_together(
        asked: Sequence[tuple["PrefetchingApp", Iterable[tuple[Message, Context]]]],
    ) -> None:
        """Train the participants of several stacked apps in common stacks."""
        trainers = [(app._trainer, messages) for app, messages in asked]
        plan_stacks([(one, m) for one, m in trainers if isinstance(one, VectorizedTrainer)])


def make_client_app(
    participants: Participants,
    mods: Sequence[Mod] = (),
    *,
    stacked: bool = False,
    memory: TrainingMemory | None = None,
) -> PrefetchingApp:
    """Return the ClientApp of all participants; a node's ``partition-id`` names its participant.

    Parameters
    ----------
    participants
        The training settings that they share, and the data that each of them holds.
    mods
        Flower mods around the app. They are an argument because the settings of a dishonest
        participant are known only once the experiment has been read.
    stacked
        Whether participants train with their parameters stacked. Figures agree with sequential
        training except for rounding. An engine that announces messages has many trained at once.

    Raises
    ------
    ConfigError, PluginError
        If the optimiser is not valid, or `stacked` is set and the training cannot be stacked.
    """
    trainer: Trainer = (
        VectorizedTrainer(participants) if stacked else SequentialTrainer(participants, memory)
    )
    app = PrefetchingApp(trainer, mods, keep_state=participants.keep_state)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        trained = trainer.train(trainer.task(message, context))
        if trained.kept is not None and participants.keep_state:
            context.state[OPTIMIZER_STATE] = trained.kept
        if trained.plain is not None and participants.keep_state:
            context.state[PLAIN_STATE] = trained.plain
        metrics = _metrics(trained.utility, participants.objective)
        content = Content({ARRAYS: trained.arrays, METRICS: metrics})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate_received(message: Message, context: Context) -> Message:
        utility = trainer.evaluate(trainer.task(message, context))
        content = Content({METRICS: _metrics(utility, participants.objective)})
        return Message(content, reply_to=message)

    app.query()(answer_identification)
    return app


def answer_identification(message: Message, context: Context) -> Message:
    """Answer the server's query for the participant of this node."""
    answer = MetricRecord({PARTICIPANT: participant_of(context)})
    return Message(RecordDict({METRICS: answer}), reply_to=message)


def _metrics(utility: Utility, objective: Objective) -> MetricRecord:
    figures: dict[str, float | None] = {"loss": utility.loss, objective.utility.term: utility.term}
    figures |= utility.others
    known = {name: value for name, value in figures.items() if value is not None}
    return FastMetrics({EXAMPLES: utility.records, **known})
