"""A strategy with an adversary over it can do what it can without: the shapes of Flower's examples.

Those are: a plain strategy with functions given; one that changes the config it sends; one that
saves what it aggregates; one that counts what is sent and returned; one that leaves replies out;
one with a `start` and methods of its own; one that is no FedAvg; one that wraps another; one with
properties and class attributes; each with a function that evaluates on the server.
"""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAvg,
    Result,
    Strategy,
)

from adversaries import CuriousServer
from fedsim.errors import PluginError
from fedsim.observation.snapshots import SnapshotStore

pytestmark = pytest.mark.usefixtures("flower")
ROUNDS = 3


class OwnStart(FedAvg):
    """As in Flower's advanced example: a start of its own, further methods, and state."""

    best = -1.0

    def save_to(self, stream: io.StringIO) -> None:
        """Say where progress goes."""
        self.stream = stream

    def start(self, *arguments: Any, **named: Any) -> Result:
        """Run the rounds, and keep what was best."""
        self.stream.write("start ")
        result = super().start(*arguments, **named)
        self.best = max(float(m["accuracy"]) for m in result.train_metrics_clientapp.values())
        self.stream.write(f"best {self.best:.3f}")
        return result


class OwnLoop(FedAvg):
    """A start that calls the hooks itself, and stops early."""

    def start(
        self, grid: Grid, initial_arrays: ArrayRecord, num_rounds: int = 3, **named: Any
    ) -> Result:
        """Run the training halves of all rounds but the last."""
        result, arrays = Result(), initial_arrays
        for number in range(1, num_rounds):
            sent = self.configure_train(number, arrays, ConfigRecord(), grid)
            replies = grid.send_and_receive(sent)
            found, metrics = self.aggregate_train(number, replies)
            assert found is not None
            assert metrics is not None
            result.arrays = arrays = found
            result.train_metrics_clientapp[number] = metrics
        return result


class OwnConfig(FedAdagrad):
    """It changes what is sent with each round."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Lower a rate on the way."""
        config["rate"] = 0.1 * 0.5**server_round
        return super().configure_train(server_round, arrays, config, grid)


class Saving(FedAvg):
    """It keeps each aggregate, and counts bytes by an object of its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.saved: list[int] = []
        self.tracker = {"bytes": 0}

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate, and note that."""
        replies = list(replies)
        self.tracker["bytes"] += sum(r.content["arrays"].count_bytes() for r in replies)  # type: ignore[union-attr]
        found = super().aggregate_train(server_round, replies)
        self.saved.append(server_round)
        return found


class Tracking(FedAvg):
    """As in Flower's examples of language models: it counts bytes of all records, both ways."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tracked: list[int] = []

    def _track(self, messages: Iterable[Message]) -> None:
        records = [r for m in messages if m.has_content() for r in m.content.array_records.values()]
        self.tracked.append(sum(record.count_bytes() for record in records))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Count what is sent."""
        messages = super().configure_train(server_round, arrays, config, grid)
        self._track(messages)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Count what came back."""
        self._track(replies)
        return super().aggregate_train(server_round, replies)


class Excluding(FedAvg):
    """As in Flower's example of Whisper: replies are sorted out, by their number and metrics."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Leave out whoever has fewer than 30 records."""
        assert isinstance(replies, list)
        assert len(replies) == 3
        trained = [r for r in replies if int(r.content["metrics"]["num-examples"]) >= 30]  # type: ignore[arg-type, call-overload, index]
        assert len(trained) == 2
        return super().aggregate_train(server_round, trained)


class Minimal(Strategy):
    """No FedAvg at all: the first upload is the next model."""

    uploads: int = 0

    @property
    def title(self) -> str:
        """Its name."""
        return f"minimal after {self.uploads}"

    def summary(self) -> None:
        """Say nothing."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask everybody."""
        config["server-round"] = server_round
        content = RecordDict({"arrays": arrays, "config": config})
        return [Message(content, node, "train") for node in grid.get_node_ids()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the first upload."""
        first = min(replies, key=lambda reply: reply.metadata.src_node_id).content
        self.uploads += 1
        return first.array_records["arrays"], first.metric_records["metrics"]

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Evaluate nothing."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Evaluate nothing."""
        return None


def summed(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
    """Sum what participants count, as a function that is given to a strategy."""
    both = [float(c.metric_records["metrics"]["accuracy"]) for c in contents]  # type: ignore[arg-type]
    return MetricRecord({"accuracy": sum(both)})


def own_start() -> Strategy:
    strategy = OwnStart()
    strategy.save_to(io.StringIO())
    return strategy


SHAPES: dict[str, Callable[[], Strategy]] = {
    "plain": FedAvg,
    "functions": lambda: FedAvg(train_metrics_aggr_fn=summed),
    "own start": own_start,
    "own loop": OwnLoop,
    "own config": OwnConfig,
    "saving": Saving,
    "tracking": Tracking,
    "excluding": Excluding,
    "no FedAvg": Minimal,
    "wrapper": lambda: DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.0, 1.0, 3),
}


def started(strategy: Strategy) -> tuple[Result, list[dict[str, bytes]]]:
    """Run a strategy as an app does, and return the result and what was sent."""
    federation = toys.Federation()
    central = federation.schedule.test

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"loss": central(arrays).loss, "round": server_round})

    result = strategy.start(
        federation.grid,
        federation.initial.arrays,
        num_rounds=ROUNDS,
        train_config=ConfigRecord({"save-path": "results"}),
        evaluate_fn=evaluate,
    )
    return result, [content for _, _, content in federation.grid.sent]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("times", [1, 2])
def test_a_strategy_works_as_it_does_without(shape: str, times: int, tmp_path: Path) -> None:
    alone, worn = SHAPES[shape](), SHAPES[shape]()
    over = worn
    for number in range(times):
        over = CuriousServer().keep_in(tmp_path / str(number)).around(over)
    (result, sent), (expected, meant) = started(over), started(alone)
    assert sent == meant
    assert toys.arrays_equal(result.arrays, expected.arrays)
    assert result.train_metrics_clientapp == expected.train_metrics_clientapp
    assert result.evaluate_metrics_serverapp == expected.evaluate_metrics_serverapp
    assert isinstance(over, type(alone))
    assert type(over).__name__ == type(alone).__name__
    rounds = {s.round for s in SnapshotStore(tmp_path / "0").index()}
    assert rounds == set(expected.train_metrics_clientapp)
    assert len(SnapshotStore(tmp_path / str(times - 1)).index()) >= 3 * len(rounds)


def test_what_a_strategy_adds_is_there(tmp_path: Path) -> None:
    stream, strategy = io.StringIO(), OwnStart()
    over: Any = CuriousServer().keep_in(tmp_path).around(strategy)
    over.save_to(stream)
    started(over)
    assert stream.getvalue() == f"start best {strategy.best:.3f}"
    assert over.best == strategy.best > 0
    saving: Any = CuriousServer().keep_in(tmp_path / "s").around(Saving())
    started(saving)
    assert saving.saved == [1, 2, 3]
    assert saving.tracker["bytes"] > 0
    minimal: Any = CuriousServer().keep_in(tmp_path / "m").around(Minimal())
    started(minimal)
    assert minimal.title == "minimal after 3"


def test_a_strategy_of_flowers_former_api_is_refused(tmp_path: Path) -> None:
    from flwr.server.strategy import FedAvg as FormerFedAvg

    adversary = CuriousServer().keep_in(tmp_path)
    with pytest.raises(
        PluginError, match=r"cannot wrap a flwr\.server\.strategy\.fedavg\.FedAvg; it"
    ):
        adversary.around(FormerFedAvg())  # type: ignore[arg-type]


class Remembering(toys.SilentParticipant):
    """Remembers what arrives and what leaves."""

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Remember it."""
        self.memory["arrived"] = arrays
        return arrays


def test_an_app_may_empty_what_it_is_sent() -> None:
    """As with ``to_numpy_ndarrays(keep_input=False)`` of Flower's."""
    adversary = Remembering(1)
    sent = ArrayRecord({"w": Array(np.ones(3, dtype=np.float32))})
    config = ConfigRecord({"server-round": 1})
    message = Message(RecordDict({"arrays": sent, "config": config}), 2, "train")
    state = RecordDict()
    context = Context(1, 2, {"partition-id": 1}, state, {})

    def app(given: Message, _: Context) -> Message:
        record = given.content.array_records["arrays"]
        values = record.to_numpy_ndarrays(keep_input=False)
        assert [value.tolist() for value in values] == [[1.0, 1.0, 1.0]]
        assert not record
        return Message(RecordDict({"arrays": ArrayRecord(values)}), reply_to=given)

    adversary(message, context, app)
    assert list(sent) == ["w"]
    (kept,) = state.array_records.values()
    assert kept["w"].numpy().tolist() == [1.0, 1.0, 1.0]
