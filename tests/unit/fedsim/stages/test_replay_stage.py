"""Active federations that branch from the honest one equal those that never did, bit for bit."""

import json
from pathlib import Path
from typing import Any

import pytest
import toys
from faults import Listening
from torch import Tensor
from toys import content_of, experiment, simulated

from fedsim.errors import PluginError
from fedsim.objectives.classification import Classification
from fedsim.observation.keys import SnapshotKind
from fedsim.progress import SILENCE
from fedsim.report.utility_info import ACCURACY
from fedsim.rundir import RunDirectory
from fedsim.stages import simulate as stage
from fedsim.stages.figures.utility import cost_of, read_history
from fedsim.stages.preparation.attackers import attackers_of
from fedsim.stages.preparation.federations import federations_of
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.report import report
from fedsim.stages.simulation.state_cache import StateCache
from fedsim.training.sequential_trainer import SequentialTrainer

HALF = 3  # of four rounds
ASCENT = {"name": "gradient-ascent-server", "first": HALF, "rate": 0.3}
ACTIVE: dict[str, Any] = {
    "isolating-server": {"name": "isolating-server", "first": HALF},
    "last-honest": {"name": "isolating-server", "first": HALF, "others": "last-honest"},
    "gradient-ascent-server": ASCENT,
    "both": {"together": [{"name": "isolating-server", "first": HALF}, ASCENT]},
    "gradient-ascent-participant": {
        "name": "gradient-ascent-participant",
        "participant": 2,
        "first": HALF,
    },
}
PASSIVE = ["curious-server", {"name": "curious-participant", "participant": 2}]
ENTRIES = [{**entry, "label": label} for label, entry in ACTIVE.items()]


@pytest.fixture(scope="module")
def branched(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, list[str]]:
    """Return a run of the six attackers, and what was said about it; not to be changed."""
    watcher = Listening()
    adversaries = {"adversaries": [*PASSIVE, *ENTRIES]}
    path = tmp_path_factory.mktemp("branched") / "run"
    return simulated(path, watcher=watcher, **adversaries), watcher.said


@pytest.mark.parametrize("label", ACTIVE)
def test_a_branched_federation_equals_one_that_ran_from_the_start(
    branched: tuple[RunDirectory, list[str]], label: str, tmp_path: Path
) -> None:
    alone = simulated(tmp_path / "alone", adversaries=[{**ACTIVE[label], "label": label}])
    assert json.loads(alone.history(label).read_text())["taken_over"] == 0
    ours, theirs = content_of(alone), content_of(branched[0])
    names = [name for name in ours if f"/{label}/" in name and "history" not in name]
    assert len(names) >= 4
    assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}
    rounds = [json.loads(run.history(label).read_text())["rounds"] for run in (alone, branched[0])]
    assert rounds[0] == rounds[1]


def test_what_was_reused_is_told_and_adds_up(branched: tuple[RunDirectory, list[str]]) -> None:
    _, said = branched
    taken = [line for line in said if "were simulated before" in line]
    assert len(taken) == len(ACTIVE)
    assert f"rounds 1 to {HALF - 1} " in taken[0]
    # Honest: 4 rounds; five attacked: 2 each.
    assert said[-1] == "24 rounds in 6 federations; 14 simulated, 3.50 times one federation"


def test_states_are_dropped_with_the_run_that_made_them(
    branched: tuple[RunDirectory, list[str]],
) -> None:
    assert not branched[0].states.exists()


def test_runs_that_share_states_simulate_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, **sections: Any) -> RunDirectory:
        toy = experiment(**sections)
        directory = RunDirectory.create(tmp_path / name, toy.resolved())
        stage.simulate(build_setup(toy, None, SILENCE), directory, SILENCE, tmp_path / "states")
        return directory

    whole = [*PASSIVE, ENTRIES[0]]
    first = run("first", adversaries=whole)
    simulating: list[object] = []
    monkeypatch.setattr(SequentialTrainer, "train", lambda _, task: simulating.append(task))
    again = run("again", adversaries=whole, attacks=["loss"])
    assert simulating == []
    ignored = {"experiment.yaml", "ledger.parquet"}
    ours, theirs = content_of(again), content_of(first)
    kept = [name for name in ours if name not in ignored and "history" not in name]
    assert {name: ours[name] for name in kept} == {name: theirs[name] for name in kept}


class Halved(Classification):
    """Classification whose losses count half."""

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().per_record_loss(outputs, targets) / 2


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 4},
        {"model": {"name": "fully-connected", "widths": [8]}},
        {"federation": {**toys.tree()["federation"], "strategy": "FedMedian"}},
        {"partition": {"participants": 3, "records": 39}},
        {"data": {"name": "toys:blobs", "test_records": 60, "noise": 2.0}},
        {"engine": {"threads": 2}},
        {"objective": {"name": "test_replay_stage:Halved"}},
        {"defences": [{"name": "clipped-updates", "max_norm": 1.0}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_state_is_in_its_address(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    def entry(**sections: Any) -> Path:
        setup = build_setup(experiment(**sections), None, SILENCE)
        return StateCache(tmp_path, setup)._entry(federations_of(setup.attackers)[0], 2)

    assert entry(**changed) != entry()


def test_what_comes_later_is_not_in_an_address(tmp_path: Path) -> None:
    def entry(rounds: int, drop: int) -> Path:
        federation = toys.tree()["federation"]
        federation |= {"rounds": rounds}
        federation["local"]["schedule"] = {drop: 0.05}
        toy = experiment(federation=federation, snapshots={"rounds": [2, 4]})
        setup = build_setup(toy, None, SILENCE)
        return StateCache(tmp_path, setup)._entry(federations_of(setup.attackers)[0], 2)

    assert entry(rounds=4, drop=3) == entry(rounds=6, drop=5)
    assert entry(rounds=4, drop=3) != entry(rounds=4, drop=2)


def test_the_cost_of_an_attack_and_what_gives_it_away(
    branched: tuple[RunDirectory, list[str]],
) -> None:
    run, _ = branched
    attackers = attackers_of(experiment(adversaries=[*PASSIVE, *ENTRIES]))
    honest, *active = federations_of(attackers)
    history = read_history(run, honest.name)
    costs = {f.name: cost_of(run, f, history) for f in active}
    isolating = costs["isolating-server"]
    # It is sent exactly what it uploaded: an update of no length.
    assert (isolating.norm_ratio, isolating.cosine, isolating.messages) == (0.0, 0.0, 1)
    assert costs["gradient-ascent-participant"].messages == 2
    assert costs["gradient-ascent-participant"].cosine < 1
    ascent = costs["gradient-ascent-server"]
    assert ascent.norm_ratio is not None
    assert ascent.norm_ratio > 0.1
    assert ascent.honest_utility == history.rounds[-1].of("test_accuracy")
    assert ascent.utility_cost(ACCURACY) == ascent.honest_utility - ascent.utility


def test_the_costs_are_in_the_results(tmp_path: Path) -> None:
    from fedsim.stages.attack import attack

    sections = {"adversaries": ["curious-server", ENTRIES[0]]}
    run = simulated(tmp_path / "r", **sections)
    attack(build_setup(experiment(**sections), None, SILENCE), run, SILENCE, fresh=False)
    (cost,) = report(run).costs
    assert (cost.adversary, cost.norm_ratio) == ("isolating-server", 0.0)
    assert "What attacking costs" in run.report.read_text()


@pytest.mark.parametrize(
    "together",
    [
        ["curious-server", {"name": "curious-participant", "participant": 2}],
        [{"name": "isolating-server", "victims": [0]}, {"name": "curious-server"}],
    ],
)
def test_adversaries_of_different_positions_or_victims_cannot_act_together(
    together: list[Any],
) -> None:
    toy = experiment(adversaries=[together], audit={**toys.tree()["audit"], "victims": [1]})
    with pytest.raises(PluginError, match="cannot act together: they hold different positions"):
        attackers_of(toy)


def test_a_list_is_one_attacker_and_the_audits_victims_are_everybodys() -> None:
    toy = experiment(
        adversaries=[["isolating-server", "gradient-ascent-server"]],
        audit={**toys.tree()["audit"], "victims": [0, 1]},
    )
    (attacker,) = attackers_of(toy)
    assert attacker.label == "isolating-server+gradient-ascent-server"
    assert [q.key for q in attacker.queries] == ["participant-0", "participant-1"]
    assert attacker.threat().does.count("from round 2 on it") == 2
    assert attacker.answering(attacker.queries[1]) == (
        SnapshotKind.SENT.of(1),
        SnapshotKind.UPLOAD.of(1),
    )


def test_two_processes_give_the_bytes_of_one(
    branched: tuple[RunDirectory, list[str]], tmp_path: Path
) -> None:
    engine = {"name": "local", "workers": 2}
    entries = [entry for entry in ENTRIES if "ascent" in entry["label"]]
    run = simulated(tmp_path / "r", adversaries=[*PASSIVE, *entries], engine=engine)
    ours, theirs = content_of(run), content_of(branched[0])
    named = {"experiment.yaml", "attackers.json", "ledger.parquet"}  # the runs have other attackers
    names = [name for name in ours if name not in named]
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
