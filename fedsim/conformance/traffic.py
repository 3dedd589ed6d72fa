"""Recording of every message of a tiny federation, to find what an attacker changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.adversary.base import Adversary
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.engines.threads import limited_threads
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models.exchange import exchanged_shapes
from fedsim.stages.preparation.setup import Setup
from fedsim.training.sgd_loop import Utility
from fedsim.transport.messages import round_of


class Passed(NamedTuple):
    """A message of a round, described as "what participant 1 is sent for training"."""

    round: int
    what: str


Traffic = Mapping[Passed, Mapping[str, bytes]]
"""All messages of a federation in their order, each as bytes by name."""


def traffic(setup: Setup, adversaries: Sequence[Adversary] = ()) -> Traffic:
    """Run the federation of a setup with these adversaries, and return its messages.

    The aggregate of each round is included: it shows uploads that the server leaves out.
    """
    settings, participants = setup.experiment.federation, setup.ledger.participants
    app = make_client_app(
        Participants(
            setup.dataset,
            setup.ledger.training_sets,
            setup.new_model,
            settings.local,
            settings.evaluation.records,
            setup.experiment.seed,
        ),
        [one for one in adversaries if isinstance(one, ParticipantAdversary)],
    )
    strategy = build_strategy(settings.strategy.name, settings.strategy.settings, participants)
    model = setup.new_model()
    schedule = Schedule(
        settings.rounds,
        settings.evaluation.every,
        setup.experiment.seed,
        exchanged_shapes(model),
        lambda arrays: Utility(0.0, 0.0, 0),
    )
    with local_identity(), limited_threads(setup.experiment.engine.threads):
        grid = _TrafficGrid(app, participants)
        servers = [one for one in adversaries if isinstance(one, ServerAdversary)]
        participant_of = identify_nodes(grid, participants)
        run_rounds(
            grid,
            AdversarialStrategy(strategy, servers, participant_of),
            Progress(0, ArrayRecord(model.state_dict())),
            schedule,
            participant_of,
            lambda progress: grid.note(
                Passed(progress.round, "the aggregate"),
                RecordDict({"arrays": progress.arrays}),
            ),
        )
    return grid.passed


def first_difference(honest: Traffic, other: Traffic) -> Passed | None:
    """Return the first message that differs from the honest one in any bit; None if none does."""
    return next((passed for passed, content in honest.items() if other[passed] != content), None)


class _TrafficGrid(LocalGrid):
    """A local grid that records its messages, in the order of the participants."""

    def __init__(self, client_app: ClientApp, participants: int) -> None:
        super().__init__(client_app, participants)
        self.passed: dict[Passed, Mapping[str, bytes]] = {}

    def note(self, passed: Passed, content: RecordDict) -> None:
        """Keep the content of a message."""
        self.passed[passed] = content_bytes(content)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Run all messages, and keep both directions."""
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        if all(m.metadata.message_type == MessageType.QUERY for m in ordered):
            return super().send_and_receive(ordered, timeout=timeout)
        for message in ordered:
            self.note(self._passed(message, "is sent for"), message.content)
        replies = super().send_and_receive(ordered, timeout=timeout)
        for message, reply in zip(ordered, replies, strict=True):
            if reply.has_content():
                self.note(self._passed(message, "returns from"), reply.content)
        return replies

    def _passed(self, message: Message, verb: str) -> Passed:
        kind = message.metadata.message_type.partition(".")[0]
        doing = "training" if kind == MessageType.TRAIN else "evaluation"
        participant = sorted(self.get_node_ids()).index(message.metadata.dst_node_id)
        return Passed(round_of(message), f"what participant {participant} {verb} {doing}")


def content_bytes(content: RecordDict) -> dict[str, bytes]:
    """Return the bytes of everything in a message, by name."""
    arrays = {
        f"{key}/{name}": array.data
        for key, record in content.array_records.items()
        for name, array in record.items()
    }
    plain = {
        key: repr(sorted(record.items())).encode()
        for records in (content.config_records, content.metric_records)
        for key, record in records.items()
    }
    return {**arrays, **plain}
