"""Who is seen in which observed round is known, and told, before round 1."""

from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import toys
from faults import Listening

from fedsim import attack, run
from fedsim.errors import ConfigError, FedsimError
from fedsim.federation.strategies import build_strategy
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.victim_visibility import RoundDraws, rounds_seen

FRACTIONS = {"fraction_train": 0.4, "fraction_evaluate": 0.4}
SAMPLED: dict[str, Any] = {
    "data": {"records": 500},
    "partition": {"participants": 5, "records": 40},
    "federation": {"rounds": 6, "strategy": {"name": "FedAvg", **FRACTIONS}},
    "snapshots": {"rounds": [3, 6]},
    "audit": {"victims": [0, 1, 2, 3]},
    "adversaries": ["curious-server", {"name": "curious-participant", "participant": 4}],
    "attacks": ["loss"],
}


@pytest.mark.parametrize(
    ("strategy", "settings", "seed"),
    [("FedAvg", FRACTIONS, 1), ("FedAvg", FRACTIONS, 2), ("FedXgbCyclic", {}, 1)],
)
def test_the_draws_are_those_of_the_federation(
    tmp_path: Path, strategy: str, settings: dict[str, float], seed: int
) -> None:
    """Whom the plan expects in which round is who was seen, for each participant and attacker."""
    every = {"rounds": {"every": 1}, "participants": "all"}
    federation = {"rounds": 6, "strategy": {"name": strategy, **settings}}
    toy = toys.experiment(**SAMPLED | {"snapshots": every, "federation": federation, "seed": seed})
    watcher = Listening()
    run(toy, tmp_path / "run", watcher=watcher)
    setup = build_setup(toy, None, SILENCE)
    draws = RoundDraws(toy, partial(build_strategy, strategy, settings, 5))
    for attacker in setup.attackers:
        store = attacker.store(toy, RunDirectory(tmp_path / "run"))
        for query in attacker.queries:
            expected = rounds_seen(attacker, query, draws, toy.observed_rounds)
            assert [s.round for s in store.series(attacker.closest(query))] == list(expected)
    store = SnapshotStore(tmp_path / "run" / "snapshots" / "curious-server")
    for participant in range(5):
        kept = [s.round for s in store.series(SnapshotKind.UPLOAD.of(participant))]
        assert kept == [r for r in toy.observed_rounds if participant in draws.training(r)]
    # No victim has fewer rounds than there are without a word.
    assert any("sees participant-" in text for text in watcher.said)


def test_victims_that_are_not_seen_are_told_and_the_others_attacked(tmp_path: Path) -> None:
    watcher = Listening()
    results = run(toys.experiment(**SAMPLED), tmp_path / "run", watcher=watcher).results
    left_out = [text for text in watcher.said if "it is left out" in text]
    assert left_out
    judged = {row.victim for row in results.results if row.adversary == "curious-server"}
    unseen = {text.split(" in the")[0].rpartition(" ")[2] for text in left_out}
    assert all(text.startswith("curious-server sees nothing of ") for text in left_out)
    assert judged - {"mean"} == {f"participant-{v}" for v in range(4)} - unseen
    assert judged - {"mean"}
    (server,) = [one for one in results.unseen if one.adversary == "curious-server"]
    assert set(server.victims) == unseen
    assert not server.none_seen
    page = tmp_path / "run" / "report.html"
    assert "curious-server saw participant" in page.read_text()
    never = [f"curious-server saw {victim.replace('-', ' ')}</dt><dd>none" for victim in unseen]
    assert all(text in page.read_text() for text in never)
    # Another attack, and a second report, are about the same victims.
    again = attack(tmp_path / "run", attacks=["label"]).results
    assert {r.victim for r in again.results if r.adversary == "curious-server"} == judged
    assert all(text in page.read_text() for text in never)


def test_if_nobody_is_seen_nothing_is_simulated(tmp_path: Path) -> None:
    sections = {
        "federation": {"rounds": 6, "attendance": {3: [1, 2]}},
        "snapshots": {"rounds": [5, 6]},
        "adversaries": ["curious-server"],
        "attacks": ["loss"],
    }
    with pytest.raises(ConfigError) as error:
        run(toys.experiment(**sections), tmp_path / "run")
    assert str(error.value) == (
        "curious-server sees nothing of participant-0 in the observed rounds 5, 6, as who takes "
        "part in them is drawn (fraction_train) or set (federation.attendance) otherwise (rounds "
        "in which it would: 1, 2; see snapshots.rounds); nothing would be left to attack"
    )
    assert not (tmp_path / "run").exists()


def test_a_victim_that_is_named_twice_is_refused() -> None:
    for victims in ([0, 0], [1, 0, 1]):
        with pytest.raises(FedsimError, match=r"audit\.victims names a participant twice"):
            toys.experiment(audit={"victims": victims})


def test_where_all_who_are_there_take_part_nothing_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a million rounds, the draws took minutes."""

    def asked(*_: object) -> NoReturn:
        raise AssertionError("a strategy was asked")

    draws = RoundDraws(
        toys.experiment(
            federation={"rounds": 1_000_000, "attendance": {1: [0, 1], 9: [2]}},
            snapshots={"rounds": {"every": 1}},
            audit={"victims": [2]},
        ),
        lambda: build_strategy("FedAvg", {}, 1),
    )
    monkeypatch.setattr("fedsim.stages.preparation.victim_visibility._SilentGrid", asked)
    assert [draws.training(r) for r in (8, 9)] == [{0, 1}, {2}]
    assert draws.evaluating(9) == frozenset()
    assert draws.evaluating(1_000_000) == {2}
    sampling = RoundDraws(
        draws.experiment, lambda: build_strategy("FedAvg", {"fraction_train": 0.5}, 1)
    )
    with pytest.raises(AssertionError, match="a strategy was asked"):
        sampling.training(1)
