"""Incoming Flower messages: what a hostile participant or server may say to the other side."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp.strategy import FedAvg
from toys import Federation, dataset, new_model, training_sets

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer
from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.config.federation import LocalTraining
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import run_rounds
from fedsim.models.exchange import exchanged_shapes
from fedsim.observation.snapshots import Policy, SnapshotStore
from fedsim.transport.messages import require_usable
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import records

Broken = Callable[[RecordDict], RecordDict]
NAMES = ("linear1.weight", "linear1.bias", "classifier.weight", "classifier.bias")


class Hostile(LocalGrid):
    """A grid on which one participant's replies are broken; the others' are as they were once."""

    breaks: Random | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept: dict[tuple[int, str], RecordDict] = {}

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Answer from what was answered before, so that nobody has to train for each input."""
        replies = []
        for message in messages:
            key = (message.metadata.dst_node_id, message.metadata.message_type)
            if key not in self.kept:
                (reply,) = super().send_and_receive([message])
                self.kept[key] = reply.content
            content = self.kept[key]
            if self.breaks is not None and key[0] == self.get_node_ids()[0]:
                content = records.mutated(content, self.breaks)
            replies.append(Message(content, reply_to=message))
        return replies


def _members() -> Participants:
    data = dataset()
    local = LocalTraining(batch_size=40, learning_rate=0.1)
    return Participants(data, training_sets(data), new_model, local, None, 3)


def replies(corpus: Corpus) -> Subject:
    """What a hostile participant uploads and measures, in a round of a federation of ours."""
    with local_identity():
        federation = Federation(strategy="FedAvg", rounds=1)
        grid = Hostile(make_client_app(_members()), 3)
        run_rounds(
            grid,
            AdversarialStrategy(FedAvg(), [], federation.participant_of),
            federation.initial,
            federation.schedule,
            federation.participant_of,
        )

    def read(random: Random, folder: Path) -> None:
        grid.breaks = random
        progress = run_rounds(
            grid,
            AdversarialStrategy(FedAvg(), [], federation.participant_of),
            federation.initial,
            federation.schedule,
            federation.participant_of,
        )
        require_usable(progress.arrays, federation.schedule.expected, "the subject")

    return Subject("reply", lambda random: random, _with_identity(read))


def introductions(corpus: Corpus) -> Subject:
    """What a hostile participant calls itself."""
    grid = Hostile(make_client_app(_members()), 3)

    def read(random: Random, folder: Path) -> None:
        grid.breaks = None
        with local_identity():
            identify_nodes(grid, 3)
        grid.breaks = random
        assert sorted(identify_nodes(grid, 3).values()) == [0, 1, 2]

    return Subject("introduction", lambda random: random, _with_identity(read))


def uploads(corpus: Corpus) -> Subject:
    """What a hostile participant uploads to a dishonest server in a third party's app."""
    sound = RecordDict(
        {
            "arrays": ArrayRecord(new_model().state_dict()),
            "metrics": MetricRecord({"num-examples": 40, "loss": 1.0}),
        }
    )
    store = SnapshotStore(corpus.folder / "uploads", Policy(rounds=frozenset({1})))

    def read(broken: RecordDict, folder: Path) -> None:
        server = AdversarialStrategy(_Blind(), [CuriousServer().keep_in(store)])
        asked = [Message(RecordDict(), node, "train") for node in (2, 3)]
        server.aggregate_train(
            1, [Message(c, reply_to=m) for c, m in zip((broken, sound), asked, strict=True)]
        )

    return Subject("upload", lambda random: records.mutated(sound, random), _with_identity(read))


class _Blind(FedAvg):
    """A strategy that looks at nothing: what it makes of replies is not ours."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, None]:
        """Take the replies."""
        list(replies)
        return None, None


def instructions(corpus: Corpus) -> Subject:
    """What a hostile server sends to a participant, dishonest itself, to train or to evaluate."""
    store = SnapshotStore(corpus.folder / "aggregates", Policy(rounds=frozenset({0})))
    dishonest = CuriousParticipant(participant=0).keep_in(store)
    app = make_client_app(_members(), [dishonest])
    sound = RecordDict(
        {
            "arrays": ArrayRecord(new_model().state_dict()),
            "config": ConfigRecord({"server-round": 1, "proximal-mu": 0.1}),
        }
    )

    def make(random: Random) -> tuple[str, RecordDict]:
        kind = random.choice(("train", "evaluate", "evaluate", "evaluate"))
        return kind, records.mutated(sound, random)

    def read(broken: tuple[str, RecordDict], folder: Path) -> None:
        kind, content = broken
        context = Context(1, 2, {"partition-id": 0}, RecordDict(), {})
        app(Message(content, 2, kind), context)

    return Subject("instruction", make, _with_identity(read))


def declared(corpus: Corpus) -> Subject:
    """One set of parameters, against the names and shapes that a model has."""
    expected = {"w": (2, 3), "b": ()}
    model = exchanged_shapes(new_model())
    arrays = ArrayRecord(new_model().state_dict())
    small = ArrayRecord({"w": _ones((2, 3)), "b": _ones(())})
    cases = ((small, expected), (small, expected), (arrays, model))

    def make(random: Random) -> tuple[RecordDict, Any]:
        record, shapes = random.choice(cases)
        return records.mutated(RecordDict({"arrays": record}), random), shapes

    def read(broken: tuple[RecordDict, Any], folder: Path) -> None:
        content, shapes = broken
        for record in content.array_records.values():
            require_usable(record, shapes, "participant 3 in round 7")
            state = record.to_torch_state_dict()
            assert {name: tuple(value.shape) for name, value in state.items()} == dict(shapes)

    return Subject("parameters", make, read)


def _ones(shape: tuple[int, ...]) -> Array:
    import numpy as np

    return Array(np.ones(shape, np.float32))


def _with_identity(read: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    """Let a subject make Flower messages; an app's own end of a federation is no defect."""

    def within(broken: Any, folder: Path) -> None:
        with local_identity(), only_warnings_of_flower(), suppress(AppExitException):
            read(broken, folder)

    return within


READERS = {
    "reply": replies,
    "introduction": introductions,
    "upload": uploads,
    "instruction": instructions,
    "parameters": declared,
}
