"""A tiny federation that all tests share: its data, its experiment, and ways to run and watch it.

It is a module of its own, and not a conftest, because experiments name it: ``toys:blobs`` is the
user's data set of the tests, as it would be in a user's experiment.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Message
from flwr.clientapp.typing import Mod
from torch import nn

from fedsim import seeds
from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import Experiment
from fedsim.config.federation import LocalTraining
from fedsim.config.loading import experiment_of_tree
from fedsim.conformance.adversary_trial import Stopping as Stopping
from fedsim.conformance.traffic import content_bytes as content_bytes
from fedsim.data import Arrays, Dataset, load_dataset
from fedsim.engines.in_process import LocalGrid
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models import build_model, exchanged_state, load_exchanged
from fedsim.models.exchange import exchanged_shapes
from fedsim.objectives import Classification
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.attackers_file import keep_attackers
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import simulate
from fedsim.stages.simulation.run_content import keep_content
from fedsim.training.sgd_loop import evaluate, run_epochs
from fedsim.training.trainer import Batches

FEATURES, CLASSES = 12, 4
PASSIVE = "nothing: it follows the protocol"


def blobs(records: int = 240, noise: float = 1.0) -> Arrays:
    """Four overlapping clouds of points."""
    random = np.random.default_rng(0)
    labels = random.integers(CLASSES, size=records)
    centres = random.normal(size=(CLASSES, FEATURES))
    features = centres[labels] + noise * random.normal(size=(records, FEATURES))
    return Arrays(features.astype(np.float32), labels, num_classes=CLASSES)


def with_test_records() -> Arrays:
    """Return records without structure, of which the last 700 are test records."""
    random = np.random.default_rng(1)
    features = random.normal(size=(1600, 12)).astype(np.float32)
    return Arrays(
        features, random.integers(4, size=1600), num_classes=4, test=np.arange(1600) >= 900
    )


def tree(**sections: Any) -> dict[str, Any]:
    """Return the toy experiment as plain data, with some sections given or extended."""
    toy: dict[str, Any] = {
        "seed": 3,
        "data": {"name": "toys:blobs", "test_records": 60},
        "partition": {"participants": 3, "records": 40},
        "model": {"name": "fully-connected", "widths": [16]},
        "federation": {
            "rounds": 4,
            "local": {"batch_size": 10, "learning_rate": 0.1, "schedule": {3: 0.05}},
            "evaluation": {"every": 2},
        },
        "snapshots": {"rounds": [2, 4]},
        "audit": {
            "victims": [0],
            "known_members": 10,
            "known_nonmembers": 10,
            "tested_members": 10,
            "tested_nonmembers": 10,
        },
        "adversaries": ["curious-server", {"name": "curious-participant", "participant": 2}],
        "attacks": ["random", "label"],
    }
    for name, section in sections.items():
        old = toy.get(name)
        extended = isinstance(old, dict) and isinstance(section, dict)
        toy[name] = old | section if extended else section
    return copy.deepcopy(toy)


def experiment(**sections: Any) -> Experiment:
    """Return the toy experiment."""
    return experiment_of_tree(tree(**sections), "the toy")


def simulated(path: Path, *, watcher: Watcher = SILENCE, **sections: Any) -> RunDirectory:
    """Run the first stage of the toy experiment into `path`, or go on with it."""
    toy = experiment(**sections)
    run = RunDirectory.create(path, toy.resolved())
    with run.locked():
        setup = build_setup(toy, None, watcher)
        keep_content(setup, run)
        keep_attackers((*setup.attackers, *setup.unseeing), run)
        simulate(setup, run, watcher)
    return run


def content_of(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file whose bytes the seed decides, by its path in the run."""
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name not in {".lock", "provenance.json"}
    }


def dataset() -> Dataset:
    """Return the toy data set."""
    return load_dataset("toys:blobs", {}, data_dir=None, seed=3, test_records=60)


def training_sets(data: Dataset, participants: int = 3) -> tuple[np.ndarray, ...]:
    """Return unequal training sets: 40, 30, 20 records, ..."""
    pool = np.random.default_rng(1).permutation(data.pool_records)
    ends = np.cumsum([40 - 10 * (p % 3) if participants <= 5 else 12 for p in range(participants)])
    return tuple(np.sort(part) for part in np.split(pool, ends)[:participants])


def new_model() -> nn.Module:
    """Return the toy model with its seeded initial parameters."""
    return build_model(
        "fully-connected", {"widths": [16]}, input_shape=(FEATURES,), num_classes=CLASSES, seed=3
    )


def train_locally(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    records: np.ndarray,
    local: LocalTraining,
    draw: tuple[int, int, int],
) -> dict[str, float]:
    """Train a model on records of the toy data, drawing by (seed, round, participant)."""
    objective, (seed, number, participant) = Classification(), draw
    batches = Batches(dataset(), records, objective, local, seed, number, participant, number)
    with seeds.global_draws(seed, "training", number, participant):
        return run_epochs(model, optimizer, batches, objective.training_loss)


class RecordingGrid(LocalGrid):
    """A local grid that keeps what crossed it: (node, type, content), sent and returned.

    Each batch of messages is in the order of the nodes; Flower's strategies shuffle it.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[tuple[int, str, dict[str, bytes]]] = []
        self.returned: list[tuple[int, str, dict[str, bytes]]] = []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Keep both directions."""
        messages = sorted(messages, key=lambda m: m.metadata.dst_node_id)
        for m in messages:
            self.sent.append(
                (m.metadata.dst_node_id, m.metadata.message_type, content_bytes(m.content))
            )
        replies = super().send_and_receive(messages, timeout=timeout)
        for r in replies:
            if r.has_content():
                seen = (r.metadata.src_node_id, r.metadata.message_type, content_bytes(r.content))
                self.returned.append(seen)
        return replies


@dataclass
class Federation:
    """The toy federation without files: run it, and look at what crossed the grid."""

    adversaries: Sequence[ServerAdversary | ParticipantAdversary] = ()
    strategy: str = "FedAvg"
    settings: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 3
    participants: int = 3
    mods: Sequence[Mod] = ()
    local: LocalTraining = field(
        default_factory=lambda: LocalTraining(batch_size=10, learning_rate=0.1)
    )
    model: Callable[[], nn.Module] = new_model
    stacked: bool = False

    def __post_init__(self) -> None:
        data = dataset()
        sets = training_sets(data, self.participants)
        members = Participants(data, sets, self.model, self.local, None, 3)
        mods = [a for a in self.adversaries if isinstance(a, ParticipantAdversary)]
        app = make_client_app(members, [*mods, *self.mods], stacked=self.stacked)
        self.grid = RecordingGrid(app, self.participants)
        self.participant_of = identify_nodes(self.grid, self.participants)
        self.grid.sent.clear()
        self.grid.returned.clear()
        self.server = AdversarialStrategy(
            build_strategy(self.strategy, self.settings, self.participants),
            [a for a in self.adversaries if isinstance(a, ServerAdversary)],
            self.participant_of,
        )
        model = self.model()
        self.initial = Progress(0, ArrayRecord(exchanged_state(model)))

        def test(arrays: ArrayRecord) -> Any:
            load_exchanged(model, arrays.to_torch_state_dict())
            return evaluate(model, data, data.test_records, Classification())

        self.schedule = Schedule(self.rounds, 2, 3, exchanged_shapes(model), test)

    def run(self, start: Progress | None = None, until: int | None = None) -> Progress:
        """Run the rounds that are left, or some of them."""
        schedule = self.schedule
        if until is not None:
            schedule = Schedule(until, 2, 3, schedule.expected, schedule.test)
        return run_rounds(
            self.grid, self.server, start or self.initial, schedule, self.participant_of
        )


def arrays_equal(one: ArrayRecord, other: ArrayRecord) -> bool:
    """Return whether two sets of parameters are the same bytes under the same names."""
    return list(one) == list(other) and all(one[k].data == other[k].data for k in one)


def added(arrays: ArrayRecord, amount: float) -> ArrayRecord:
    """Return parameters with a number added to each."""
    state = arrays.to_torch_state_dict()
    return ArrayRecord({name: value + amount for name, value in state.items()})


def mean(uploads: Sequence[Mapping[str, torch.Tensor]], weights: Sequence[int]) -> dict[str, Any]:
    """Return the weighted mean of parameters in double precision."""
    total = sum(weights)
    return {
        name: sum(w * u[name].double() for u, w in zip(uploads, weights, strict=True)) / total
        for name in uploads[0]
    }


class SilentServer(ServerAdversary):
    """A server position that overrides nothing."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat("the server", "nothing", PASSIVE)


class SilentParticipant(ParticipantAdversary):
    """A participant position that overrides nothing."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(f"participant {self.participant}", "nothing", PASSIVE)
