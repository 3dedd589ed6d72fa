"""The ray engine on one node: the local engine's numbers, little under way, nothing lost."""

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import pytest
import toys
import trainers
from flwr.app import Context, Message
from traffic import Next, die, hang, once, to_train, toy_app

from fedsim.config.engine import RayEngine
from fedsim.engines.base import NewGrid
from fedsim.engines.factory import open_engine
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.ray.dispatch import DispatchWindow
from fedsim.engines.ray.grid import RayGrid
from fedsim.errors import FedsimError
from fedsim.rundir import RunDirectory

pytestmark = [pytest.mark.usefixtures("cluster", "flower")]
PATIENCE = 15.0  # seconds, for whoever answers on a busy machine; who hangs takes all of them
RAY = {"name": "ray", "actors": 2, "cpus": 0.1}
DISHONEST: dict[str, Any] = {
    "adversaries": [
        *toys.tree()["adversaries"],
        "isolating-server",
        {"name": "gradient-ascent-participant", "participant": 1, "first": 3},
    ]
}


def files(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file but the experiment, which tells the engine."""
    return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}


def raw(replies: list[Message]) -> list[tuple[int, dict[str, bytes]]]:
    return [(reply.metadata.src_node_id, toys.content_bytes(reply.content)) for reply in replies]


@pytest.mark.usefixtures("_same_processes")
def test_the_files_are_those_of_the_local_engine(tmp_path: Path) -> None:
    local = files(toys.simulated(tmp_path / "local", **DISHONEST))
    assert files(toys.simulated(tmp_path / "ray", engine=RAY, **DISHONEST)) == local
    assert len([name for name in local if name.startswith("snapshots/")]) >= 8


@pytest.mark.usefixtures("_same_processes")
@pytest.mark.parametrize("case", trainers.LOCAL)
def test_local_training_of_any_kind_is_that_of_the_local_engine(tmp_path: Path, case: str) -> None:
    sections = trainers.trained_as(case)
    local = files(toys.simulated(tmp_path / "local", **sections))
    assert files(toys.simulated(tmp_path / "ray", engine=RAY, **sections)) == local


@pytest.mark.usefixtures("_same_processes")
def test_stopped_between_rounds_it_goes_on(toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "r", watcher=toys.Stopping(3), engine=RAY)
    assert files(toys.simulated(tmp_path / "r", engine=RAY)) == files(RunDirectory(toy_run))


def test_parameters_are_put_once_a_round(new_grid: NewGrid) -> None:
    with new_grid(toy_app(), 3) as grid:
        assert isinstance(grid, RayGrid)
        messages = to_train(grid.get_node_ids())
        size = sum(len(a.data) for a in messages[0].content["arrays"].values())
        grid.send_and_receive(messages)
        assert grid.traffic.puts == 1
        assert size <= grid.traffic.sent_bytes < size + 2000
        assert 3 * size <= grid.traffic.received_bytes < 3 * (size + 2000)
        # What was trained on is evaluated: the same parameters, put by the call before.
        again = [Message(messages[0].content, m.metadata.dst_node_id, "evaluate") for m in messages]
        grid.send_and_receive(again)
        assert grid.traffic.puts == 1
        grid.send_and_receive([*to_train([2, 3], 2), *to_train([4], 2)])
        assert grid.traffic.puts == 3  # two different contents, as an isolating server sends


def test_300_participants_have_little_under_way(
    new_grid: NewGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    wait = DispatchWindow.ready

    def spied(turn: DispatchWindow) -> list[Any]:
        nonlocal most
        most = max(most, sum(len(call.numbers) for call in turn.calls.values()))
        return wait(turn)

    monkeypatch.setattr(DispatchWindow, "ready", spied)
    app = toy_app(300)
    with new_grid(app, 300) as grid:
        sent = to_train(grid.get_node_ids())
        replies = grid.send_and_receive(sent)
        local = LocalGrid(app, 300).send_and_receive(to_train(grid.get_node_ids()))
        assert raw(replies) == raw(local)
    assert most == 2 * RayEngine().in_flight


def test_a_killed_process_costs_nothing_but_time(new_grid: NewGrid, tmp_path: Path) -> None:
    ends: list[Any] = []
    for deed in (die, lambda: None):
        marker = tmp_path / deed.__name__
        marker.touch()
        app = toy_app(5, [once(marker, 3, deed)])
        with new_grid(app, 5) as grid:
            for number in (1, 2):
                grid.send_and_receive(to_train(grid.get_node_ids(), number))
                kept = grid.states()
            marker.unlink()
            last = grid.send_and_receive(to_train(grid.get_node_ids(), 3))
            before = {node: toys.content_bytes(state) for node, state in kept.items()}
            after = {node: toys.content_bytes(state) for node, state in grid.states().items()}
            ends.append((raw(last), before, after))
    assert ends[0] == ends[1]
    assert ends[0][1] != ends[0][2]
    assert all(state for state in ends[0][1].values())


def test_who_hangs_is_left_out_and_the_next_round_is_whole(
    new_grid: NewGrid, tmp_path: Path
) -> None:
    with new_grid(toy_app(4, [once(tmp_path / "x", 1, hang)]), 4) as grid:
        kept = grid.states()
        some = grid.send_and_receive(to_train(grid.get_node_ids()), timeout=PATIENCE)
        assert [reply.metadata.src_node_id for reply in some] == [2, 4]
        assert not any(kept.values())  # the process that hangs answers, and from before it did
        whole = grid.send_and_receive(to_train(grid.get_node_ids()))
        assert len(whole) == 4


def test_failures_are_told_as_the_local_engine_does(new_grid: NewGrid) -> None:
    def failing(message: Message, context: Context, call_next: Next) -> Message:
        if context.node_config["partition-id"] == 1:
            raise ValueError("not today")
        if context.node_config["partition-id"] == 2:
            raise FedsimError("never")
        return call_next(message, context)

    with new_grid(toy_app(3, [failing]), 3) as grid:
        [reply] = grid.send_and_receive(to_train([3]))
        assert reply.error.reason == "ValueError: not today"
        with pytest.raises(FedsimError, match=r"^never$"):
            grid.send_and_receive(to_train([4]))
        assert len(grid.send_and_receive(to_train([2]))) == 1


@pytest.fixture
def only_here() -> Iterator[ModuleType]:
    """Make a module that no other process can import."""
    module = sys.modules["only_here"] = ModuleType("only_here")
    module.Mod = type("Mod", (), {"__module__": "only_here"})  # type: ignore[attr-defined]
    yield module
    del sys.modules["only_here"]


def test_what_cannot_travel_is_told(new_grid: NewGrid, only_here: ModuleType) -> None:
    with pytest.raises(FedsimError, match=r"cannot load the participants' app .*'only_here'"):
        new_grid(toy_app(3, [only_here.Mod()]), 3).__enter__()
    lock = Lock()

    def locking(message: Message, context: Context, call_next: Next) -> Message:
        with lock:
            return call_next(message, context)

    with pytest.raises(FedsimError, match="cannot be pickled: TypeError: cannot pickle"):
        new_grid(toy_app(3, [locking]), 3).__enter__()


def test_who_kills_every_process_is_named(new_grid: NewGrid) -> None:
    def deadly(message: Message, context: Context, call_next: Next) -> Message:
        if context.node_config["partition-id"] == 2:
            die()
        return call_next(message, context)

    told = r"ran participants (0, )?2 was lost 2 times in one"
    with new_grid(toy_app(3, [deadly]), 3) as grid, pytest.raises(FedsimError, match=told):
        grid.send_and_receive(to_train(grid.get_node_ids()))


def test_a_cluster_without_the_room_is_told() -> None:
    told = r"has no room for 3 .*it has room for 0 "
    with (
        open_engine(RayEngine(actors=3, cpus=1000)) as opener,
        pytest.raises(FedsimError, match=told),
    ):
        opener(toy_app(), 3).__enter__()


def test_where_no_cluster_is_one_sentence_says_so() -> None:
    with pytest.raises(FedsimError, match=r"connected to the Ray cluster at .* already"):
        open_engine(RayEngine(address="127.0.0.1:1")).__enter__()
