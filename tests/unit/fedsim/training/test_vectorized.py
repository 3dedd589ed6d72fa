"""Stacked training is training one by one, but for the last digits, whoever goes with whom."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp.typing import Mod
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.data import Arrays, Dataset
from fedsim.data.splitting import from_arrays
from fedsim.engines.multiprocess import local_grid
from fedsim.errors import ConfigError
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models import alexnet, build_model, fully_connected
from fedsim.models.exchange import exchanged_shapes
from fedsim.objectives import Classification
from fedsim.progress import SILENCE
from fedsim.stages.preparation.federations import federations_of
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation.state_cache import StateCache
from fedsim.training.sgd_loop import evaluate
from fedsim.training.vectorized.sgd_loop import VectorizedLoop
from fedsim.training.vectorized.trainer import VectorizedTrainer, stack_training, stacking_pays
from fedsim.transport.messages import with_arrays

FEATURES, CLASSES = 12, 4
pytestmark = pytest.mark.usefixtures("flower")


def data(records: int) -> Dataset:
    random = np.random.default_rng(records)
    features = random.normal(size=(records + 20, FEATURES)).astype(np.float32)
    labels = random.integers(CLASSES, size=records + 20)
    return from_arrays(
        "noise", Arrays(features, labels, num_classes=CLASSES), test_records=20, seed=0
    )


@dataclass(frozen=True)
class Case:
    """A federation whose participants hold so many records each."""

    sizes: Sequence[int] = (5, 20, 7, 8, 30, 17)
    local: LocalTraining = field(
        default_factory=lambda: LocalTraining(batch_size=8, learning_rate=0.05)
    )
    strategy: str = "FedAvg"
    settings: dict[str, Any] = field(default_factory=lambda: {"fraction_train": 0.7})
    widths: tuple[int, ...] = (9,)
    activation: str = "tanh"
    at_most: int | None = None

    def members(self) -> Participants:
        dataset = data(sum(self.sizes))
        sets = np.split(dataset.pool_records, np.cumsum(self.sizes)[:-1])
        return Participants(dataset, sets, self.new_model, self.local, self.at_most, 5)

    def new_model(self) -> nn.Module:
        chosen = {"widths": self.widths, "activation": self.activation}
        shape = (FEATURES,)
        return build_model(
            "fully-connected", chosen, input_shape=shape, num_classes=CLASSES, seed=0
        )

    def run(
        self,
        stacked: bool,
        *,
        workers: int = 1,
        mods: Sequence[Mod] = (),
        stop_after: int | None = None,
    ) -> tuple[Progress, dict[int, RecordDict]]:
        """Run four rounds, and begin anew from what was kept after some of them."""
        progress = Progress(0, ArrayRecord(self.new_model().state_dict()))
        kept: dict[int, RecordDict] = {}
        for until in (4,) if stop_after is None else (stop_after, 4):
            app = make_client_app(self.members(), mods, stacked=stacked)
            with local_grid(app, len(self.sizes), workers, 1) as grid:
                grid.restore(kept)
                strategy = build_strategy(self.strategy, self.settings, len(self.sizes))
                participant_of = identify_nodes(grid, len(self.sizes))
                schedule = Schedule(until, 2, 0, exchanged_shapes(self.new_model()), self.test)
                progress = run_rounds(grid, strategy, progress, schedule, participant_of)
                kept = dict(grid.states())
        return progress, kept

    def test(self, arrays: ArrayRecord) -> Any:
        model, dataset = self.new_model(), data(sum(self.sizes))
        model.load_state_dict(arrays.to_torch_state_dict())
        return evaluate(model, dataset, dataset.test_records, Classification())


Ended = tuple[Progress, dict[int, RecordDict]]


def require_close(one: Ended, other: Ended) -> None:
    """Assert that parameters, figures and optimisers' states agree to 1e-5."""
    near = partial(torch.testing.assert_close, rtol=0, atol=1e-5)
    near(one[0].arrays.to_torch_state_dict(), other[0].arrays.to_torch_state_dict())
    for left, right in zip(one[0].history, other[0].history, strict=True):
        for name in (f.name for f in fields(left)):
            assert getattr(left, name) == pytest.approx(getattr(right, name), abs=1e-5)
    assert one[1].keys() == other[1].keys()
    for node, state in one[1].items():
        assert list(state) == list(other[1][node])
        for key, record in state.array_records.items():
            near(record.to_torch_state_dict(), other[1][node][key].to_torch_state_dict())


def require_same(one: Ended, other: Ended) -> None:
    """Assert that everything agrees bit for bit."""
    assert toys.arrays_equal(one[0].arrays, other[0].arrays)
    assert one[0].history == other[0].history
    assert one[1] == other[1]


OPTIMIZERS = [
    Choice(name="sgd", momentum=0.0, weight_decay=1e-2),
    Choice(name="sgd", momentum=0.9, weight_decay=1e-2),
    Choice(name="sgd", momentum=0.8, nesterov=True, weight_decay=1e-3),
    Choice(name="adam", weight_decay=1e-2),
    Choice(name="adamw"),
]
STRATEGIES = [("FedAvg", {"fraction_train": 0.7}), ("FedProx", {"proximal_mu": 0.3})]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=7),
    batch_size=st.integers(1, 40),
    epochs=st.integers(1, 2),
    optimizer=st.sampled_from(OPTIMIZERS),
    strategy=st.sampled_from(STRATEGIES),
    widths=st.lists(st.integers(1, 20), max_size=2),
    activation=st.sampled_from(["tanh", "relu"]),
    kept=st.booleans(),
)
def test_stacked_is_one_by_one_to_the_last_digits(
    sizes: list[int],
    batch_size: int,
    epochs: int,
    optimizer: Choice,
    strategy: tuple[str, dict[str, Any]],
    widths: list[int],
    activation: str,
    kept: bool,
) -> None:
    local = LocalTraining(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=0.02 if optimizer.name == "sgd" else 1e-4,
        schedule={3: 1e-3 if optimizer.name == "sgd" else 1e-5},
        keep_optimizer_state=kept,
    )
    case = Case(sizes, local, *strategy, tuple(widths), activation, at_most=9)
    require_close(case.run(stacked=True), case.run(stacked=False))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: f"{o.name}-{len(o.settings)}")
@pytest.mark.parametrize(("strategy", "chosen"), STRATEGIES)
def test_who_goes_with_whom_changes_no_bit(
    optimizer: Choice, strategy: str, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalTraining(batch_size=8, learning_rate=0.01, optimizer=optimizer)
    case = Case((8, 8, 19, 20, 8, 17, 18), local, strategy, chosen)
    together = case.run(stacked=True)
    require_same(together, case.run(stacked=True, stop_after=2))
    with monkeypatch.context() as patched:
        patched.setattr(VectorizedTrainer, "foresee", lambda self, asked: None)
        require_same(together, case.run(stacked=True))
    with monkeypatch.context() as patched:
        patched.setattr("fedsim.training.vectorized.sgd_loop.LARGEST_STACK", 2)
        require_same(together, case.run(stacked=True))


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("workers", [2, 3])
def test_processes_change_no_bit(workers: int, momentum: float) -> None:
    case = Case(local=LocalTraining(optimizer=Choice(name="sgd", momentum=momentum)))
    require_same(case.run(stacked=True), case.run(stacked=True, workers=workers))


def test_a_dishonest_participant_trains_on_what_it_wants_and_uploads_what_it_wants(
    stacks: list[tuple[str, int]],
) -> None:
    seen: list[tuple[int, int]] = []

    def dishonest(
        message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        who, kind = int(context.node_config["partition-id"]), message.metadata.message_type
        if kind == MessageType.TRAIN:
            seen.append((who, len(message.content["arrays"])))
        if who != 2 or kind != MessageType.TRAIN:
            return call_next(message, context)
        shifted = toys.added(message.content["arrays"], 0.5)
        message.content = with_arrays(message.content, shifted)
        reply = call_next(message, context)
        reply.content = with_arrays(reply.content, toys.added(reply.content["arrays"], -0.4))
        return reply

    case = Case((8, 8, 8, 8, 8), settings={})
    ended = case.run(stacked=True, mods=[dishonest])
    training = [size for kind, size in stacks if kind == "train"]
    assert sorted(training) == [1] * 4 + [5] * 4
    assert sorted(seen) == [(who, 4) for who in range(5) for _ in range(4)]
    require_close(ended, case.run(stacked=False, mods=[dishonest]))
    honest = case.run(stacked=True)
    assert not toys.arrays_equal(honest[0].arrays, ended[0].arrays)


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return a list that gets the kind and the size of each stack that is computed."""
    found: list[tuple[str, int]] = []
    for kind in ("train", "evaluate"):
        original = getattr(VectorizedLoop, kind)

        def noting(
            self: Any, members: Any, *rest: Any, kind: str = kind, original: Any = original
        ) -> Any:
            found.append((kind, len(members)))
            return original(self, members, *rest)

        monkeypatch.setattr(VectorizedLoop, kind, noting)
    return found


def test_those_with_batches_of_the_same_sizes_go_together(stacks: list[tuple[str, int]]) -> None:
    # With batches of 8 and last ones filled up to 4: 20 and 17 (two and 4), 5 and 7 and 8 (one).
    Case((20, 5, 7, 8, 17, 30), settings={}).run(stacked=True)
    assert sorted(stacks[:3]) == [("train", 1), ("train", 2), ("train", 3)]
    assert sum(size for kind, size in stacks if kind == "evaluate") == 2 * 6


def test_more_go_together_where_there_is_one_step_only() -> None:
    def fitting(**settings: Any) -> int:
        found = stack_training(replace(w3(), local=LocalTraining(batch_size=20, **settings)))
        assert isinstance(found, VectorizedLoop)
        return found.fitting(20, 20, trained=True)

    assert (fitting(), fitting(epochs=2)) == (46, 11)


def w3(participants: int = 500, records: int = 20) -> Participants:
    dataset = data(FEATURES)  # of which nobody looks at the features
    sets = [np.arange(records)] * participants
    new_model = partial(fully_connected, 100, (600,), (128,))
    return Participants(dataset, sets, new_model, LocalTraining(), None, 0)


def test_it_is_chosen_for_many_where_it_can_be() -> None:
    assert stacking_pays(w3())
    assert stacking_pays(w3(10, 100))
    assert not stacking_pays(w3(9))
    big = w3()
    paper = partial(fully_connected, 100, (600,))
    assert stacking_pays(Participants(*_with(big, new_model=paper, records=1000)))
    assert not stacking_pays(Participants(*_with(big, new_model=partial(alexnet, 100))))


def _with(one: Participants, new_model: Any, records: int = 20) -> tuple[Any, ...]:
    sets = [np.arange(records)] * len(one.training_records)
    return (one.dataset, sets, new_model, one.local, None, 0)


class Twice(nn.Sequential):
    """A chain that is none."""


SHARED = nn.Linear(12, 12)


@pytest.mark.parametrize(
    ("new_model", "local", "reason"),
    [
        (partial(alexnet, 100), {}, "the model has a Conv2d, and only chains of Linear, Tanh"),
        (lambda: nn.Sequential(nn.Linear(12, 4), nn.Dropout()), {}, "the model has a Dropout"),
        (lambda: nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4)), {}, "has a BatchNorm1d"),
        (lambda: Twice(nn.Linear(12, 4)), {}, "the model has a Twice"),
        (lambda: nn.Sequential(SHARED, SHARED), {}, "the same layer or parameter twice"),
        (lambda: nn.Sequential(nn.Linear(12, 4).double()), {}, "not of type float32"),
        (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(12, 4)), {}, "Flatten leaves some"),
        (lambda: nn.Sequential(nn.Linear(12, 4)), {"precision": "bf16"}, "precision is bf16"),
    ],
    ids=["conv", "dropout", "batch-norm", "subclass", "shared", "double", "flatten", "bf16"],
)
def test_what_cannot_be_stacked_is_said_in_one_sentence(
    new_model: Callable[[], nn.Module], local: dict[str, Any], reason: str
) -> None:
    members = Participants(
        data(20), [np.arange(5)] * 20, new_model, LocalTraining(**local), None, 0
    )
    assert not stacking_pays(members)
    with pytest.raises(ConfigError, match=reason) as raised:
        make_client_app(members, stacked=True)
    assert str(raised.value).startswith("engine.stacked is true, but this training cannot be")


class TestScene:
    """The choice is made when the setup is set, and decides what a state's address is."""

    def address(self, **engine: Any) -> str:
        setup = build_setup(toys.experiment(engine=engine), None, SILENCE)
        [federation] = federations_of(setup.attackers)
        return StateCache(toys.Path("x"), setup)._entry(federation, 2).name

    def test_three_participants_are_not_stacked_unless_asked_for(self) -> None:
        for asked, got in (("auto", False), (True, True), (False, False)):
            setup = build_setup(toys.experiment(engine={"stacked": asked}), None, SILENCE)
            assert setup.experiment.engine.stacked is got
            assert setup.experiment.plain()["engine"]["stacked"] is got

    def test_states_of_stacked_runs_are_apart(self) -> None:
        assert self.address() == self.address(stacked=False) != self.address(stacked=True)

    def test_what_cannot_be_is_told_before_anything_is_written(self) -> None:
        with pytest.raises(ConfigError, match="cannot be stacked"):
            build_setup(
                toys.experiment(
                    engine={"stacked": True}, federation={"local": {"precision": "bf16"}}
                ),
                None,
                SILENCE,
            )
