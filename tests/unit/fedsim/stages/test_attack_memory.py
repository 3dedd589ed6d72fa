"""Attacks that do not fit this machine's memory are refused before round 1."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from faults import Listening
from numpy.typing import NDArray

from fedsim import api
from fedsim.attacks import (
    Attack,
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
    memory_there,
)
from fedsim.errors import ConfigError, FedsimError, PluginError
from fedsim.progress import SILENCE, Watcher
from fedsim.stages.preparation.setup_building import build_setup


class Silent(Attack):
    """A third party's attack, written before anybody asked for memory."""

    def score(
        self,
        observation: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return nothing of worth."""
        return np.zeros(len(candidates))


class Hungry(Silent):
    """An attack that takes so many bytes a snapshot, and notes what it was asked."""

    asked: list[ExpectedObservation]

    def __init__(self, size: float = 1.0) -> None:
        self.size = int(size)
        self.asked = []

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return the bytes."""
        self.asked.append(prospect)
        return MemoryNeed(self.size * prospect.snapshots, "a big table", "take a smaller one")


class Failing(Silent):
    """An attack whose hook goes wrong in some way."""

    def __init__(self, how: str) -> None:
        self.how = how

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Go wrong."""
        if self.how == "raise":
            raise KeyError("of a third party")
        if self.how == "refuse":
            raise ConfigError("no such layer")
        return 12  # type: ignore[return-value]


def hungry(size: float = 1.0, **settings: Any) -> dict[str, Any]:
    return {"name": "test_attack_memory:Hungry", "size": size, **settings}


def seen(**sections: Any) -> list[int]:
    """Return for how many snapshots the attack is asked, for each different case of the toy."""
    setup = build_setup(toys.experiment(attacks=[hungry()], **sections), None, SILENCE)
    (attack,) = setup.attacks.values()
    assert isinstance(attack, Hungry)
    assert all(len(one.records) == 40 for one in attack.asked)
    return [prospect.snapshots for prospect in attack.asked]


def test_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    toy = toys.experiment(attacks=["random", hungry(1e15, label="greedy")])
    there = f"{memory_there() / 1e9:.1f}"
    told = (
        r"attack greedy takes 2000000.0 GB of memory \(a big table, on 2 snapshots\), but this "
        rf"machine has {there} GB; take a smaller one"
    )
    with pytest.raises(FedsimError, match=told):
        api.run(toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_the_snapshots_that_will_be_there_count() -> None:
    assert seen() == [2]
    assert seen(snapshots={"rounds": [4]}) == [1]
    assert seen(snapshots={"rounds": {"every": 1}}) == [4]
    one_round = {"federation": {"rounds": 1}, "snapshots": {"rounds": [1]}}
    assert seen(**one_round) == [1]


def test_who_is_away_or_perhaps_not_sampled_is_not_counted_on() -> None:
    late = {"federation": {"attendance": {1: [1, 2], 4: [0, 1, 2]}}}
    every = {"snapshots": {"rounds": [1, 2, 3, 4]}}
    assert seen(**late, **every, adversaries=["curious-server"]) == [1]
    participant = {"name": "curious-participant", "participant": 2}
    assert seen(**late, **every, adversaries=[participant]) == [4]
    sampling = {"federation": {"strategy": {"name": "FedAvg", "fraction_train": 0.7}}}
    assert seen(**sampling, **every, adversaries=["curious-server"]) == [1]
    assert seen(**sampling, **every, adversaries=[participant]) == [1]
    assert seen(**sampling, **every, adversaries=["released-model"]) == [4]
    private = {
        "name": "DifferentialPrivacyServerSideFixedClipping",
        "noise_multiplier": 0.1,
        "clipping_norm": 1.0,
        "num_sampled_clients": 2,
        "strategy": {"name": "FedAvg", "fraction_train": 0.7},
    }
    worn = {"federation": {"strategy": private}}
    assert seen(**worn, **every, adversaries=["curious-server"]) == [1]


def test_processes_side_by_side_take_it_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.stages.preparation.memory.memory_there", lambda: 3 * 10**9)
    attacks = [hungry(1e9)]
    listening = Listening()
    build_setup(toys.experiment(attacks=attacks), None, listening)
    assert listening.said == [
        "attack Hungry takes 2.0 GB of memory: a big table, for each seed of 2 queries"
    ]
    told = r"2.0 GB of memory in each of 2 processes \(.* has 3.0 GB; set engine.workers: 1, take"
    with pytest.raises(FedsimError, match=told):
        build_setup(toys.experiment(attacks=attacks, engine={"workers": 8}), None, SILENCE)


def test_whoever_does_not_say_is_not_asked_twice() -> None:
    listening = Listening()
    toy = toys.experiment(attacks=["random", {"name": "test_attack_memory:Silent"}, hungry()])
    build_setup(toy, None, listening)
    assert listening.said == []


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("raise", PluginError, "attack odd cannot say what memory it needs: KeyError: 'of a third"),
        ("refuse", ConfigError, "attack odd: no such layer"),
        ("number", PluginError, "attack odd says that it needs 12; memory_needed must return"),
    ],
)
def test_a_hook_that_goes_wrong_is_one_sentence(
    how: str, kind: type[FedsimError], told: str
) -> None:
    attack = {"name": "test_attack_memory:Failing", "label": "odd", "how": how}
    with pytest.raises(kind, match=told) as error:
        build_setup(toys.experiment(attacks=[attack]), None, SILENCE)
    assert "\n" not in str(error.value)


def test_a_containers_limit_is_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("fedsim.machine._LIMIT", limit)
    machine = memory_there()
    assert machine > 10**8
    limit.write_text("max\n")
    assert memory_there() == machine
    limit.write_text("1000000\n")
    assert memory_there() == 1_000_000
