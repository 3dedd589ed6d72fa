"""A participant that ascends when it is there: it joins late, drops out, or is not sampled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from faults import Listening
from flwr.app import ArrayRecord, Context, Message, MessageType

from adversaries.positions.gradient_ascent_participant import GradientAscentParticipant
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.stages.attack import attack
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.transport.messages import round_of

pytestmark = pytest.mark.usefixtures("flower")
RECORDS = [40, 30, 20]  # participant 1, who ascends, has a third
FIRST, ROUNDS = 2, 5
ALWAYS: Attendance = {1: (0, 1, 2)}
JOINS_LATE: Attendance = {1: (0, 2), 4: (0, 1, 2)}
DROPS_OUT: Attendance = {1: (0, 1, 2), 3: (0, 2), 5: (0, 1, 2)}
WITH_FEWER: Attendance = {1: (0, 1, 2), 4: (0, 1)}
ASCENDING = {"name": "gradient-ascent-participant", "participant": 1, "first": FIRST}
COMES_AND_GOES: dict[str, Any] = {
    "adversaries": [ASCENDING],
    "federation": {"rounds": ROUNDS, "attendance": DROPS_OUT},
    "snapshots": {"rounds": {"every": 1}},
}


class Beneath:
    """A mod beneath the adversary's: it keeps what honest training made in each round."""

    def __init__(self) -> None:
        self.made: dict[int, ArrayRecord] = {}

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        reply = call_next(message, context)
        trains = message.metadata.message_type == MessageType.TRAIN
        if trains and context.node_config["partition-id"] == 1:
            [self.made[round_of(message)]] = reply.content.array_records.values()
        return reply


class Watched:
    """The toy federation with the ascending participant, and all that can be seen of it."""

    def __init__(self, store: SnapshotStore, settings: dict[str, Any]) -> None:
        self.onlooker, self.beneath = Onlooker(), Beneath()
        adversary = GradientAscentParticipant(1, first=FIRST, participants=3)
        self.federation = toys.Federation(
            [self.onlooker, adversary.keep_in(store).give_resources(attacker_resources())],
            rounds=ROUNDS,
            settings=settings,
            mods=[self.beneath],
        )
        self.store = store

    def kept(self, owner: str) -> list[int]:
        return [s.round for s in self.store.index() if s.key.name == owner]

    def ascent_of(self, round_number: int) -> dict[str, torch.Tensor]:
        """Return what its upload of a round is above honest training."""
        upload = self.onlooker.received[round_number, 1].to_torch_state_dict()
        honest = self.beneath.made[round_number].to_torch_state_dict()
        return {name: value.double() - honest[name].double() for name, value in upload.items()}

    def share(self, round_number: int) -> float:
        """Return which share of its upload is in the aggregate of a round."""
        there = [p for r, p in self.onlooker.received if r == round_number]
        return RECORDS[1] / sum(RECORDS[p] for p in there)


def ascended(folder: Path, attendance: Attendance) -> Watched:
    watched = Watched(SnapshotStore(folder), ANYBODY)
    attended(watched.federation, attendance).run()
    return watched


@pytest.mark.parametrize(
    ("attendance", "aggregates", "clean"),
    [
        (ALWAYS, [0, 1, 2, 3, 4, 5], [2, 3, 4, 5]),
        (JOINS_LATE, [3, 4, 5], [4, 5]),
        # The aggregate of round 4 arrives when it is back; nothing of its own is in it.
        (DROPS_OUT, [0, 1, 2, 4, 5], [2, 5]),
    ],
)
def test_an_ascent_is_taken_out_of_the_aggregate_of_its_own_round_only(
    tmp_path: Path, attendance: Attendance, aggregates: list[int], clean: list[int]
) -> None:
    watched = ascended(tmp_path, attendance)
    assert watched.kept("aggregate") == aggregates
    assert watched.kept("clean") == clean
    for snapshot in watched.store.series(SnapshotKind.CLEAN.of()):
        aggregate = watched.onlooker.aggregates[snapshot.round].to_torch_state_dict()
        ascent = watched.ascent_of(snapshot.round)
        assert max(float(value.abs().max()) for value in ascent.values()) > 0.01
        for name, value in snapshot.load().items():
            expected = aggregate[name].double() - ascent[name] / 3
            torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attendance", [ALWAYS, WITH_FEWER])
def test_what_stays_in_is_its_share_beyond_one_of_all(
    tmp_path: Path, attendance: Attendance
) -> None:
    watched = ascended(tmp_path, attendance)
    shares = [watched.share(r) for r in watched.kept("clean")]
    few = [3 / 7] * 2 if attendance is WITH_FEWER else [1 / 3] * 2
    assert shares == pytest.approx([1 / 3, 1 / 3, *few])
    for snapshot, share in zip(watched.store.series(SnapshotKind.CLEAN.of()), shares, strict=True):
        uploads = {p: a for (r, p), a in watched.onlooker.received.items() if r == snapshot.round}
        uploads[1] = watched.beneath.made[snapshot.round]  # as if it had been honest
        weights = [RECORDS[p] for p in uploads]
        honest = toys.mean([a.to_torch_state_dict() for a in uploads.values()], weights)
        ascent = watched.ascent_of(snapshot.round)
        for name, value in snapshot.load().items():
            expected = honest[name] + (share - 1 / 3) * ascent[name]
            torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sampled_one_ascends_in_its_rounds(tmp_path: Path, seed: int) -> None:
    watched = Watched(SnapshotStore(tmp_path), SAMPLING)
    sampled(watched.federation, seed).run()
    onlooker = watched.onlooker
    trained = onlooker.trained(1)
    malicious = [r for r in trained if any(bool(v.any()) for v in watched.ascent_of(r).values())]
    assert malicious == [r for r in trained if r >= FIRST]
    arrived = {r - 1 for r in trained} | {r for r, p in onlooker.evaluated if p == 1}
    assert watched.kept("aggregate") == sorted(arrived)
    assert watched.kept("clean") == sorted(arrived & set(malicious))


def test_an_aggregate_that_arrives_twice_is_cleaned_alike(tmp_path: Path) -> None:
    given: list[tuple[int, bytes]] = []

    class Remembering(SnapshotStore):
        def keep(self, round_number: int, key: SnapshotKey, arrays: ArrayRecord) -> None:
            if key.kind is SnapshotKind.CLEAN:
                given.append((round_number, b"".join(a.data for a in arrays.values())))
            super().keep(round_number, key, arrays)

    watched = Watched(Remembering(tmp_path), ANYBODY)
    watched.federation.run()
    # Rounds 2, 4 and 5 are evaluated, and training goes on after the first two.
    assert [r for r, _ in given] == [2, 2, 3, 4, 4, 5]
    assert len(set(given)) == 4
    assert len({content for _, content in given}) == 4


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_stopped_while_it_is_away_it_goes_on_bit_for_bit(tmp_path: Path, after: int) -> None:
    whole = toys.simulated(tmp_path / "whole", **COMES_AND_GOES)
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", watcher=toys.Stopping(after), **COMES_AND_GOES)
    cut = toys.simulated(tmp_path / "cut", **COMES_AND_GOES)
    assert toys.content_of(cut) == toys.content_of(whole)


def test_attacks_go_on_with_the_rounds_that_are_there(tmp_path: Path) -> None:
    attacks = ["loss", "gradient-norm", "scalar-logistic"]
    run = toys.simulated(tmp_path / "r", attacks=attacks, **COMES_AND_GOES)
    watcher = Listening()
    setup = build_setup(toys.experiment(attacks=attacks, **COMES_AND_GOES), None, watcher)
    with run.locked():
        attack(setup, run, watcher, fresh=False)
    [said] = [text for text in watcher.said if "no snapshot" in text]
    assert said.endswith("in rounds 3; the attacks go on with the other 4")
    assert len(run.scored("gradient-ascent-participant", "all-but-1")) == len(attacks)
