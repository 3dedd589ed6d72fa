"""The participants' side: a Flower ClientApp that trains on the data of whoever it is run for."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from torch import nn

from fedsim import seeds
from fedsim.config import LocalTraining
from fedsim.data import Dataset
from fedsim.errors import MessageError
from fedsim.federation.messages import (
    ARRAYS,
    METRICS,
    PARTICIPANT,
    arrays_of,
    proximal_of,
    require_usable,
    round_of,
    shapes_of,
)
from fedsim.federation.optimizers import (
    Factory,
    optimizer_arrays,
    optimizer_factory,
    restore_optimizer,
)
from fedsim.federation.training import RecordIds, Utility, evaluate, train_locally

OPTIMIZER_STATE = "fedsim-optimizer"


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
        At most so many of its records a participant evaluates on; None for all.
    seed
        The experiment's seed.
    """

    dataset: Dataset
    training_records: Sequence[RecordIds]
    new_model: Callable[[], nn.Module]
    local: LocalTraining
    evaluation_records: int | None
    seed: int

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


def make_client_app(participants: Participants, mods: Sequence[Mod] = ()) -> ClientApp:
    """Return the ClientApp of all participants; a node's ``partition-id`` says which one it is.

    Mods are given here, and not at import, because a dishonest participant's settings are known
    only when the experiment is.
    """
    app = ClientApp(mods=list(mods))
    model = participants.new_model()
    expected = shapes_of(model)
    new_optimizer = optimizer_factory(
        participants.local.optimizer.name, participants.local.optimizer.settings
    )

    def load(message: Message) -> None:
        arrays = arrays_of(message.content, "the server")
        require_usable(arrays, expected, f"the server in round {round_of(message)}")
        model.load_state_dict(arrays.to_torch_state_dict())

    @app.train()
    def train(message: Message, context: Context) -> Message:
        load(message)
        utility = _train_round(
            participants, model, new_optimizer, round_of(message), context, proximal_of(message)
        )
        content = RecordDict({ARRAYS: ArrayRecord(model.state_dict()), METRICS: _metrics(utility)})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate_received(message: Message, context: Context) -> Message:
        load(message)
        records = participants.evaluated(participant_of(context))
        utility = evaluate(model, participants.dataset, records)
        return Message(RecordDict({METRICS: _metrics(utility)}), reply_to=message)

    app.query()(introduction)
    return app


def introduction(message: Message, context: Context) -> Message:
    """Answer the server's question which participant this node is."""
    answer = MetricRecord({PARTICIPANT: participant_of(context)})
    return Message(RecordDict({METRICS: answer}), reply_to=message)


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


def _train_round(
    participants: Participants,
    model: nn.Module,
    new_optimizer: Factory,
    round_number: int,
    context: Context,
    proximal: float,
) -> Utility:
    participant, local = participant_of(context), participants.local
    optimizer = new_optimizer(model.parameters(), local.learning_rate_in(round_number))
    kept = context.state.array_records.get(OPTIMIZER_STATE)
    if local.keep_optimizer_state and kept is not None:
        restore_optimizer(optimizer, kept)
    utility = train_locally(
        model,
        optimizer,
        participants.dataset,
        participants.training_records[participant],
        local,
        (participants.seed, round_number, participant),
        proximal,
    )
    if local.keep_optimizer_state:
        context.state[OPTIMIZER_STATE] = optimizer_arrays(optimizer)
    return utility


def _metrics(utility: Utility) -> MetricRecord:
    figures = asdict(utility)
    return MetricRecord({"num-examples": figures.pop("records"), **figures})
