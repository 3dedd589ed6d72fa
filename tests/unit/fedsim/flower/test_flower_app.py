"""The app on a grid like those of Flower: nodes and replies in any order, states that stay."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import toys
import trainers
import yaml
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from toys import arrays_equal, content_of, simulated

from fedsim import Finding, ParticipantAdversary, SnapshotKind, Threat
from fedsim.api import attack
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.errors import ConfigError, FedsimError, MessageError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.flower import new_client_app, new_server_app
from fedsim.flower.client import TURN
from fedsim.flower.paths import RunPaths, place_of
from fedsim.flower.server import meet
from fedsim.rundir import RunDirectory

ASCENDING = "gradient-ascent-participant"
ENGINE = {"device": "cpu", "stacked": False, "small_convolutions": [], "channels_last": False}
SETTINGS: dict[str, Any] = {
    "partition": {"participants": 3, "records": 40},
    "federation": {
        "rounds": 3,
        "strategy": {"name": "FedAvgM", "server_momentum": 0.5, "fraction_train": 0.7},
        "local": {"optimizer": {"name": "sgd", "momentum": 0.9}},
        "evaluation": {"every": 2},
    },
    "snapshots": {"rounds": [1, 2, 3]},
    "adversaries": [
        "curious-server",
        {"name": "curious-participant", "participant": 2},
        {"name": "isolating-server", "first": 2},
        {"name": ASCENDING, "participant": 1, "first": 2, "targets": 20},
    ],
    "engine": ENGINE,
}


class UnorderedGrid(LocalGrid):
    """Nodes and replies in another order, a run config, and an end after so many batches."""

    def __init__(self, experiment: Path, out: Path, participants: int = 3) -> None:
        super().__init__(new_client_app(experiment), participants)
        self.experiment, self.out = experiment, out
        self.left = -1

    def get_node_ids(self) -> list[int]:
        """Return the ids, the last one first."""
        return super().get_node_ids()[::-1]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Return the replies, the last one first."""
        if not self.left:
            raise ConnectionError("the server's machine is gone")
        self.left -= 1
        return super().send_and_receive(messages, timeout=timeout)[::-1]

    def run_app(self, number: int = 1) -> RunDirectory:
        """Run the whole app as run `number`."""
        config: dict[str, Any] = {"out": str(self.out), "data-dir": "", "patience": 0}
        for context in self._contexts.values():
            context.run_id, context.run_config = number, config
        with local_identity():
            new_server_app(self.experiment)(self, Context(number, 1, {}, RecordDict(), config))
        return RunDirectory(self.out)


def write(folder: Path, **sections: Any) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(toys.tree(**SETTINGS | sections), sort_keys=False))
    return path


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    return write(tmp_path)


def require_equal(run: RunDirectory, local: RunDirectory) -> None:
    """Everything but the states of nodes, which stay with them, is as on the local engine."""
    ours, theirs = content_of(run), content_of(local)
    assert ours.keys() == theirs.keys()
    # Where a federation has branched from is told in its history.
    apart = {name for name in ours if ours[name] != theirs[name]}
    assert {Path(name).name for name in apart} <= {"checkpoint.safetensors", "history.json"}
    for federation in ("honest", "isolating-server", ASCENDING):
        ends = [Checkpoint.load(one.checkpoint(federation)) for one in (run, local)]
        assert arrays_equal(ends[0].progress.arrays, ends[1].progress.arrays)
        assert ends[0].progress.history == ends[1].progress.history
        assert ends[0].states == {}
        rounds = [json.loads(one.history(federation).read_text())["rounds"] for one in (run, local)]
        assert rounds[0] == rounds[1]


@pytest.mark.parametrize("stacked", [False, True])
def test_the_same_bytes_as_on_the_local_engine(stacked: bool, tmp_path: Path) -> None:
    engine = ENGINE | {"stacked": stacked}  # where it is, a node of Flower's is a stack of one
    run = UnorderedGrid(write(tmp_path, engine=engine), tmp_path / "run").run_app()
    require_equal(run, simulated(tmp_path / "local", **SETTINGS | {"engine": engine}))


@pytest.mark.parametrize("case", trainers.LOCAL)
def test_local_training_of_any_kind_is_that_of_the_local_engine(case: str, tmp_path: Path) -> None:
    sections = SETTINGS | trainers.trained_as(case)
    run = UnorderedGrid(write(tmp_path, **sections), tmp_path / "run", participants=2).run_app()
    ours, theirs = content_of(run), content_of(simulated(tmp_path / "local", **sections))
    kept = {name: digest for name, digest in theirs.items() if name.startswith("snapshots/")}
    assert len(kept) == 2  # what was sent and what came back in the last round
    assert {name: ours[name] for name in kept} == kept
    assert ours["federations/honest/history.json"] == theirs["federations/honest/history.json"]


def test_what_was_stopped_starts_again_and_what_has_ended_does_not(
    experiment: Path, tmp_path: Path
) -> None:
    grid = UnorderedGrid(experiment, tmp_path / "run")
    # The query who is who; two rounds with and one without evaluation; and two batches more.
    grid.left = 1 + 5 + 2
    with pytest.raises(ConnectionError):
        grid.run_app(1)
    run = RunDirectory(tmp_path / "run")
    assert run.checkpoint("honest").is_file()
    assert not run.checkpoint("isolating-server").is_file()
    ended = run.checkpoint("honest").stat().st_mtime_ns
    remembered = [context.state[TURN]["run"] for context in grid._contexts.values()]
    assert set(remembered) == {"1"}
    grid.left = -1
    grid.run_app(2)
    assert run.checkpoint("honest").stat().st_mtime_ns == ended
    assert {context.state[TURN]["run"] for context in grid._contexts.values()} == {"2"}
    require_equal(run, simulated(tmp_path / "local", **SETTINGS))


class Counting(ParticipantAdversary):
    """Finds how often it was shown an aggregate."""

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(f"participant {self.participant}", "the aggregates")

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Count, and keep the aggregate."""
        before = self.memory.get("count", MetricRecord({"count": 0}))
        self.memory["count"] = MetricRecord({"count": int(before["count"]) + 1})  # type: ignore[arg-type, index, call-overload]
        if round_number:
            self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        return super().arrived(round_number, arrays)

    def findings(self) -> list[Finding]:
        """Return the count."""
        counted = self.memory.get("count", {"count": 0})["count"]
        return [Finding(title="aggregates seen", figures={"count": counted})]  # type: ignore[dict-item]


def test_participants_findings_have_their_place_on_any_runtime(tmp_path: Path) -> None:
    name = f"{__name__}:Counting"
    sections: dict[str, Any] = {
        "adversaries": [
            "curious-server",
            {"name": name, "participant": 1, "label": "one"},
            {"name": name, "participant": 2, "label": "two"},
        ],
        "federation": {**SETTINGS["federation"], "strategy": "FedAvg"},
        "attacks": ["random"],
    }
    run = UnorderedGrid(write(tmp_path, **sections), tmp_path / "run").run_app()
    local = simulated(tmp_path / "local", **SETTINGS | sections)
    found = [attack(one.path).results.findings for one in (run, local)]
    assert found[0] == found[1]
    # Round 1 shows the initial parameters; each later one, and each evaluation, an aggregate.
    assert [(one.adversary, one.figures["count"]) for one in found[0]] == [("one", 5), ("two", 5)]


def test_the_server_waits_for_its_nodes_and_says_who_is_missing(
    experiment: Path, tmp_path: Path, flower: None
) -> None:
    grid = UnorderedGrid(experiment, tmp_path / "run")
    assert list(meet(grid, 3, 0).values()) == [0, 1, 2]
    with pytest.raises(FedsimError, match=r"^3 of 4 nodes are connected after 0 s; .*nodes=4'$"):
        meet(grid, 4, 0)
    with pytest.raises(FedsimError, match="needs each of 0 to 1 once"):
        meet(grid, 2, 0)


def test_a_message_of_another_app_is_told(experiment: Path, tmp_path: Path, flower: None) -> None:
    app = new_client_app(experiment)
    context = Context(1, 2, {"partition-id": 0}, RecordDict(), {"out": str(tmp_path / "run")})
    with pytest.raises(MessageError, match="names no federation"):
        app(Message(RecordDict(), 2, "train"), context)
    context.node_config.clear()
    with pytest.raises(MessageError, match="must have partition-id=N"):
        app(Message(RecordDict(), 2, "query"), context)


def test_a_nodes_config_says_where_its_machine_keeps_things(tmp_path: Path) -> None:
    run: dict[str, Any] = {"out": "/srv/run", "data-dir": "", "patience": 5}
    assert place_of(context_of(run)) == RunPaths(Path("/srv/run"), None, 5.0)
    node = {"partition-id": 3, "out": "~/audit", "data-dir": "/data"}
    assert place_of(context_of(run, node)) == RunPaths(Path.home() / "audit", Path("/data"), 5.0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "names no run directory"),
        ({"out": ""}, "names no run directory"),
        ({"out": "runs/x"}, "out in the run's config is 'runs/x'; it must be an absolute path"),
        ({"out": 3}, "out in the run's config is 3; it must be an absolute path"),
        ({"out": "/r", "data-dir": "d"}, "data-dir in the run's config is 'd'"),
        ({"out": "/r", "patience": "long"}, "patience in the run's config is 'long', not seconds"),
        ({"out": "/r", "patience": -1}, "patience in the run's config is -1, not seconds"),
    ],
)
def test_a_run_config_that_is_not_valid(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        place_of(context_of(config))


def context_of(run: dict[str, Any], node: dict[str, Any] | None = None) -> Context:
    return Context(1, 2, node or {}, RecordDict(), run)
