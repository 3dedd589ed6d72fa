"""Shadow models find a planted leak, nothing where there is none, and keep to other records."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from toys import content_of

from adversaries.inference.shadow import Shadow
from fedsim.api import attack, run
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.data import about_all_but, about_participant, read_ledger
from fedsim.errors import FedsimError
from fedsim.evaluation import EvaluationResult
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages import shadow_federations as stage
from fedsim.stages.figures.evaluate import evaluate_run
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.shadow_federations import shadows_of
from fedsim.stages.shadow_records import shadow_ledger

SETTINGS: dict[str, Any] = {
    "data": {"name": "toys:blobs", "records": 1600, "noise": 4.0, "test_records": 100},
    "partition": {"participants": 3, "records": 160},
    "model": {"name": "fully-connected", "widths": [64]},
    "federation": {
        "rounds": 10,
        "local": {"epochs": 4, "batch_size": 10, "learning_rate": 0.1},
        "evaluation": {"every": 10},
    },
    "snapshots": {"rounds": [5, 10]},
    "audit": {
        "victims": [0],
        "known_members": 80,
        "known_nonmembers": 80,
        "tested_members": 80,
        "tested_nonmembers": 80,
    },
    "attacks": [{"name": "shadow", "training": {"folds": 3, "epochs": 20}}],
}
ONE = {"adversaries": ["curious-server"]}
SERVER, LOCAL = about_participant(0), about_all_but(2, 3)


def settings(**sections: Any) -> dict[str, Any]:
    changed = {name: {**SETTINGS[name], **section} for name, section in sections.items()}
    return SETTINGS | changed


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leaky") / "run"
    run(toys.experiment(**SETTINGS), path)
    return path


def evaluation_result(path: Path, adversary: str = "curious-server") -> EvaluationResult:
    return evaluate_run(RunDirectory(path)).means[adversary, "shadow"]


def test_a_planted_leak_is_found(leaky: Path) -> None:
    assert evaluation_result(leaky).auc.value > 0.75
    assert evaluation_result(leaky).accuracy.value > 0.65
    assert evaluation_result(leaky, "curious-participant").auc.value > 0.65


def test_a_rerun_is_bit_identical(leaky: Path, tmp_path: Path) -> None:
    run(toys.experiment(**SETTINGS), tmp_path / "again")
    first, again = (content_of(RunDirectory(path)) for path in (leaky, tmp_path / "again"))
    made = [name for name in first if name.startswith(("shadows/", "scores/"))]
    assert len(made) > 10
    assert [first[name] for name in made] == [again[name] for name in made]


def test_where_nothing_was_learned_nothing_is_found(tmp_path: Path) -> None:
    # Steps that are lost in rounding. Small ones would not do: at 1e-6 the server still reads from
    # the differences of what it sent and got back where they went (mean AUC .56 over six seeds).
    local = {**SETTINGS["federation"]["local"], "learning_rate": 1e-30}
    run(toys.experiment(**settings(federation={"local": local}) | ONE), tmp_path / "null")
    auc = evaluation_result(tmp_path / "null").auc
    assert auc.low < 0.5 < auc.high


def test_the_records_are_others(leaky: Path) -> None:
    real = read_ledger(RunDirectory(leaky).ledger)
    ours = read_ledger(RunDirectory(leaky / "shadows" / "inside-0").ledger)
    assert [len(r) for r in ours.training_sets] == [len(r) for r in real.training_sets]
    used = set(np.concatenate(ours.training_sets))
    for query in (SERVER, LOCAL):
        audit = ours.audit(query)
        assert (len(audit), audit.member.sum(), audit.known.all()) == (160, 80, True)
        used |= set(audit.records)
    reserved = set(np.concatenate(real.training_sets))
    for query in (SERVER, LOCAL):
        audit = real.audit(query)
        reserved |= set(audit.records[~audit.known])
    assert not used & reserved
    assert "own federations share" not in (leaky / "report.html").read_text()


def test_one_shadow_serves_all_adversaries_and_attacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    simulate = stage.simulate
    monkeypatch.setattr(
        stage, "simulate", lambda s, r, w: calls.append(r.path) or simulate(s, r, w)
    )
    two = [*SETTINGS["attacks"], {"name": "shadow", "label": "black", "inputs": "black-box"}]
    run(toys.experiment(**SETTINGS | {"attacks": two}), tmp_path / "r")
    assert calls == [tmp_path / "r" / "shadows" / "inside-0"]
    snapshots = sorted(path.name for path in (calls[0] / "snapshots" / stage.LABEL).iterdir())
    owners = ("aggregate", "participant-0", "sent-0")
    assert snapshots == [f"round-{r:05d}.{owner}.safetensors" for r in (5, 10) for owner in owners]
    before = {path: path.stat().st_mtime_ns for path in calls[0].rglob("*.safetensors")}
    attack(tmp_path / "r", attacks=["shadow"])
    assert before == {path: path.stat().st_mtime_ns for path in calls[0].rglob("*.safetensors")}


def test_whoever_is_outside_rehearses_from_other_parameters(tmp_path: Path) -> None:
    attackers = ["curious-server", "released-model"]
    setup = build_setup(
        toys.experiment(
            **SETTINGS
            | {"adversaries": attackers, "federation": {"rounds": 1}}
            | {"snapshots": {"rounds": [1]}}
        ),
        None,
        SILENCE,
    )
    directory = RunDirectory(tmp_path)
    found = shadows_of(setup, directory, SILENCE)
    inside, outside = (found[label, SERVER.key][0].view for label in attackers)
    sent = next(s for s in inside.seen if s.key.name == "sent-0").load()
    begun = setup.new_model().state_dict()
    assert all((sent[name] == value).all() for name, value in begun.items())
    assert not np.array_equal(
        outside.new_model().state_dict()["classifier.weight"], begun["classifier.weight"]
    )
    assert [s.key.name for s in outside.seen] == ["aggregate"]


def test_where_records_are_few_the_overlap_is_told(tmp_path: Path) -> None:
    few = settings(data={"records": 1000})
    setup = build_setup(toys.experiment(**few), None, SILENCE)
    ledger, overlapping = shadow_ledger(setup, (SERVER, LOCAL), seed=1)
    held = setup.ledger.holders_of(range(3))
    ours = np.unique(np.concatenate(ledger.training_sets))
    assert overlapping >= held[ours].sum() > 0
    tested = [setup.ledger.audit(q) for q in (SERVER, LOCAL)]
    third_parties = np.concatenate([a.records[~a.known & ~a.member] for a in tested])
    assert not np.isin(ours, third_parties).any()
    run(toys.experiment(**few), tmp_path / "r")
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"shadow: its own federations share {overlapping:,} records" in page


def test_several_federations_are_learned_from_together(tmp_path: Path) -> None:
    two = [{**SETTINGS["attacks"][0], "federations": 2}]
    run(toys.experiment(**SETTINGS | {"attacks": two, **ONE}), tmp_path / "r")
    assert sorted(p.name for p in (tmp_path / "r" / "shadows").iterdir()) == [
        "inside-0",
        "inside-1",
    ]
    ledgers = [read_ledger(p / "ledger.parquet") for p in (tmp_path / "r" / "shadows").iterdir()]
    assert not np.array_equal(ledgers[0].training_sets[0], ledgers[1].training_sets[0])
    assert evaluation_result(tmp_path / "r").auc.value > 0.75


def test_a_model_that_was_trained_elsewhere_cannot_be_shadowed(leaky: Path) -> None:
    with pytest.raises(ValueError, match="from 1 to 10,000"):
        Shadow(federations=0)
    setup = build_setup(toys.experiment(**SETTINGS), None, SILENCE)
    assert setup.attacks["shadow"].needs.shadow_federations == 1
    nothing = np.empty(0, dtype=np.int64)
    observation = View("a", SERVER, (), setup.new_model, setup.dataset, nothing, leaky / "none")
    known = AuxiliaryRecords(nothing, nothing.astype(bool))
    with pytest.raises(FedsimError, match="trained elsewhere"):
        setup.attacks["shadow"].score(observation, known, nothing, 0, SILENCE)
