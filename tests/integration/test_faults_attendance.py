"""Participants who join late, drop out and come back: stopped in any round, nothing changes."""

from pathlib import Path
from typing import Any

import pytest
import toys
from faults import Listening, files, misbehaving, reached

from fedsim.rundir import RunDirectory

# 2 joins in round 2, 0 drops out in round 3 and is back in round 5, 1 is away in round 4.
ATTENDANCE = {1: [0, 1], 2: [0, 1, 2], 3: [1, 2], 4: [2], 5: [0, 1, 2]}
COMING_AND_GOING: dict[str, Any] = {
    "federation": {
        "rounds": 6,
        "attendance": ATTENDANCE,
        "strategy": {"name": "FedAvgM", "server_momentum": 0.9},
        "local": {"batch_size": 10, "optimizer": "adam", "learning_rate": 0.002},
        "evaluation": {"every": 2},
    },
    "snapshots": {"rounds": {"every": 1}, "participants": "all"},
}


def section(path: Path, **engine: Any) -> dict[str, Any]:
    once = str(path / "once")
    return COMING_AND_GOING | {
        "adversaries": [
            "curious-server",
            {"name": "gradient-ascent-participant", "participant": 1, "first": 3},
            misbehaving("is killed", wrong_in=5, once=once),
        ],
        "engine": engine,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "once").touch()
    return files(toys.simulated(folder / "r", **section(folder)))


def test_only_who_is_there_uploads(whole: dict[str, str]) -> None:
    snapshots = [name for name in whole if "/round-" in name]
    uploads = [name.split(".")[:2] for name in snapshots if ".participant-" in name]
    came = {(int(path[-5:]), int(owner[-1])) for path, owner in uploads}
    expected = {1: [0, 1], 2: [0, 1, 2], 3: [1, 2], 4: [2], 5: [0, 1, 2], 6: [0, 1, 2]}
    assert came == {(r, p) for r, present in expected.items() for p in present}


def test_an_ascending_one_cleans_the_aggregates_in_which_its_ascent_is(
    whole: dict[str, str],
) -> None:
    kept = sorted(name.split("/")[-1].split(".")[:2] for name in whole if "ascent" in name)
    seen = {(int(r[-5:]), owner) for r, owner in kept if r.startswith("round-")}
    # It acts in rounds 3, 5 and 6. The aggregate of round 3 is not evaluated, and it is away when
    # training goes on from it; that of round 4, in which it has no part, arrives in round 5.
    clean, aggregates = [5, 6], [1, 2, 4, 5, 6]
    assert seen == {(r, "clean") for r in clean} | {(r, "aggregate") for r in aggregates}


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_stopped_in_any_round_it_goes_on_bit_for_bit(
    tmp_path: Path, whole: dict[str, str], after: int
) -> None:
    (tmp_path / "once").touch()
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "r", watcher=toys.Stopping(after), **section(tmp_path))
    assert reached(RunDirectory(tmp_path / "r")) == after
    assert files(toys.simulated(tmp_path / "r", **section(tmp_path))) == whole


@pytest.mark.parametrize("workers", [2, 3])
def test_killed_in_the_round_in_which_they_come_back(
    tmp_path: Path, whole: dict[str, str], workers: int
) -> None:
    watcher = Listening()
    run = toys.simulated(tmp_path / "r", watcher=watcher, **section(tmp_path, workers=workers))
    [told] = [text for text in watcher.said if "killed" in text]
    assert "participant 1 in round 5 was killed by SIGKILL" in told
    assert "it goes on after round 2, and does 2 finished rounds again" in told
    assert files(run) == whole
