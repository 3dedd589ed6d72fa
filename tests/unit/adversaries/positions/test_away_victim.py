"""Servers after a victim that is not always there: it joins late, drops out, or is not sampled."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import toys
from attending import (
    ANYBODY,
    SAMPLING,
    SEEDS,
    Attendance,
    Onlooker,
    attacker_resources,
    attended,
    sampled,
)

from adversaries.positions.gradient_ascent_server import GradientAscentServer
from adversaries.positions.isolating_server import IsolatingServer
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory

pytestmark = pytest.mark.usefixtures("flower")
VICTIM, OTHERS, WEIGHTS = 0, (1, 2), [30, 20]
JOINS_LATE: Attendance = {1: (1, 2), 3: (0, 1, 2)}
HALF = 4  # the victim is away in the round before
AWAY_BEFORE: dict[str, Any] = {"rounds": 5, "attendance": {1: [0, 1, 2], 3: [1, 2], 4: [0, 1, 2]}}
ACTIVE: dict[str, dict[str, Any]] = {
    "isolating": {"name": "isolating-server"},
    "last-honest": {"name": "isolating-server", "others": "last-honest"},
    "ascending": {"name": "gradient-ascent-server"},
}
ENTRIES = [{"label": label, "first": HALF, **entry} for label, entry in ACTIVE.items()]


@pytest.mark.parametrize("others", ["without-it", "last-honest"])
def test_a_late_victim_is_isolated_from_its_own_first_upload_on(
    tmp_path: Path, others: Literal["without-it", "last-honest"]
) -> None:
    onlooker = Onlooker()
    isolating = IsolatingServer(first=2, others=others).keep_in(tmp_path)
    attended(toys.Federation([isolating, onlooker], rounds=5, settings=ANYBODY), JOINS_LATE).run()
    assert onlooker.trained(VICTIM) == [3, 4, 5]
    assert onlooker.sent[3, VICTIM] is onlooker.sent[3, 1]  # there is nothing of its own yet
    for r in (4, 5):
        assert toys.arrays_equal(onlooker.sent[r, VICTIM], onlooker.received[r - 1, VICTIM])
    for r, aggregate in onlooker.aggregates.items():  # there is no last honest upload of it
        uploads = [onlooker.received[r, p].to_torch_state_dict() for p in OTHERS]
        for name, value in toys.mean(uploads, WEIGHTS).items():
            found = aggregate.to_torch_state_dict()[name].double()
            torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sampled_victims_last_honest_upload_is_that_of_the_round_before(
    tmp_path: Path, seed: int
) -> None:
    meant, left = Onlooker(), Onlooker()
    isolating = IsolatingServer(first=3, others="last-honest").keep_in(tmp_path)
    federation = toys.Federation([meant, isolating, left], rounds=6, settings=SAMPLING)
    sampled(federation, seed).run()
    own = None
    for r in (r for r in meant.trained(VICTIM) if r >= 2):
        if r >= 3:
            assert left.sent[r, VICTIM] is (own or meant.sent[r, VICTIM])
            honest = meant.received.get((2, VICTIM), left.received[r, VICTIM])
            assert left.received[r, VICTIM] is honest
        own = meant.received[r, VICTIM]


def test_a_late_victim_is_a_target_once_an_update_of_it_is_known(tmp_path: Path) -> None:
    meant, left = Onlooker(), Onlooker()
    ascending = GradientAscentServer(first=2).keep_in(tmp_path).give_resources(attacker_resources())
    federation = toys.Federation([meant, ascending, left], rounds=5, settings=ANYBODY)
    attended(federation, JOINS_LATE).run()
    assert left.sent[3, VICTIM] is meant.sent[3, VICTIM]
    for r in (4, 5):
        assert not toys.arrays_equal(left.sent[r, VICTIM], meant.sent[r, VICTIM])
    kept = [
        (s.round, s.key.name) for s in SnapshotStore(tmp_path).series(SnapshotKind.INTENDED.of(0))
    ]
    assert kept == [(4, "meant-0"), (5, "meant-0")]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a run in which they branch from the honest federation; not to be changed."""
    return simulated(tmp_path_factory.mktemp("beside") / "r", ["curious-server", *ENTRIES])


def simulated(path: Path, adversaries: list[Any]) -> RunDirectory:
    snapshots = {"rounds": [2, 5]}
    return toys.simulated(
        path, adversaries=adversaries, federation=AWAY_BEFORE, snapshots=snapshots
    )


@pytest.mark.parametrize("entry", ENTRIES, ids=ACTIVE)
def test_where_it_was_away_in_the_last_honest_round_branching_changes_nothing(
    tmp_path: Path, beside: RunDirectory, entry: dict[str, Any]
) -> None:
    label = entry["label"]
    assert json.loads(beside.history(label).read_text())["taken_over"] == HALF - 1
    ours, theirs = toys.content_of(simulated(tmp_path / "r", [entry])), toys.content_of(beside)
    names = [name for name in ours if f"/{label}/" in name and "history" not in name]
    assert len(names) >= 4
    assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}
