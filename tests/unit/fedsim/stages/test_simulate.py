"""The first stage: the files it writes, and that stopping and going on changes none of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from toys import Stopping, content_of, experiment, simulated

from fedsim.data import about_all_but, about_participant, read_ledger
from fedsim.errors import DataError, FedsimError, RunDirectoryError, SnapshotError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.plan import plan, stated_threats
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation import checkpointing
from fedsim.stages.simulation.history import read_malicious_updates


def test_the_files_of_a_run(toy_run: Path) -> None:
    run = RunDirectory(toy_run)
    assert list(content_of(run)) == [
        "attackers.json",
        "content.json",
        "experiment.yaml",
        "federations/honest/checkpoint.safetensors",
        "federations/honest/findings.json",
        "federations/honest/findings.participant-2.json",
        "federations/honest/history.json",
        "federations/honest/malicious_updates.json",
        "ledger.parquet",
        "snapshots/curious-participant/round-00002.aggregate.safetensors",
        "snapshots/curious-participant/round-00004.aggregate.safetensors",
        "snapshots/curious-server/round-00002.participant-0.safetensors",
        "snapshots/curious-server/round-00002.sent-0.safetensors",
        "snapshots/curious-server/round-00004.participant-0.safetensors",
        "snapshots/curious-server/round-00004.sent-0.safetensors",
    ]
    assert run.experiment.read_text() == experiment().resolved()


def test_the_ledger_has_the_audits(toy_run: Path) -> None:
    ledger = read_ledger(RunDirectory(toy_run).ledger)
    assert [len(records) for records in ledger.training_sets] == [40, 40, 40]
    for query in (about_participant(0), about_all_but(2, 3)):
        audit = ledger.audit(query)
        assert (audit.member.sum(), len(audit), audit.known.sum()) == (20, 40, 20)
    assert not np.isin(ledger.audit(about_all_but(2, 3)).records, ledger.training_sets[2]).any()


def test_the_history_has_the_utility_of_every_round(toy_run: Path) -> None:
    history = json.loads(RunDirectory(toy_run).history("honest").read_text())
    assert history["schema"] == 1
    rounds = history["rounds"]
    assert [r["round"] for r in rounds] == [1, 2, 3, 4]
    assert [r["test_accuracy"] is None for r in rounds] == [True, False, True, False]
    losses = [r["local_loss"] for r in rounds]
    assert losses == sorted(losses, reverse=True)
    assert rounds[3]["test_accuracy"] > 0.6 > 1 / toys.CLASSES
    assert rounds[3]["train_loss"] < rounds[1]["train_loss"]


def test_the_last_aggregate_is_what_the_participant_saw_last(toy_run: Path) -> None:
    run = RunDirectory(toy_run)
    kept = Checkpoint.load(run.checkpoint("honest")).progress
    seen = (
        SnapshotStore(run.snapshots("curious-participant"))
        .series(SnapshotKind.AGGREGATE.of())[-1]
        .load()
    )
    assert kept.round == 4
    assert all(torch.equal(seen[k], v) for k, v in kept.arrays.to_torch_state_dict().items())


def test_the_same_experiment_gives_the_same_bytes(toy_run: Path, tmp_path: Path) -> None:
    assert content_of(simulated(tmp_path / "r")) == content_of(RunDirectory(toy_run))


def test_another_seed_gives_another_run(toy_run: Path, tmp_path: Path) -> None:
    ours, others = content_of(RunDirectory(toy_run)), content_of(simulated(tmp_path / "r", seed=4))
    assert ours.keys() == others.keys()
    same = [name for name in ours if ours[name] == others[name]]
    # The same attackers, nothing malicious was sent, and nobody had a finding of its own.
    assert same == [
        "attackers.json",
        "federations/honest/findings.json",
        "federations/honest/findings.participant-2.json",
        "federations/honest/malicious_updates.json",
    ]


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def times() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.name != ".lock"}

    run = simulated(tmp_path / "r")
    before = times()
    simulated(run.path)
    assert times() == before


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, after: int, optimizer: str) -> None:
    toy = toys.tree()["federation"]
    toy["strategy"] = {"name": "FedAvgM", "server_momentum": 0.9}
    toy["local"]["optimizer"] = optimizer
    whole = simulated(tmp_path / "whole", federation=toy)
    with pytest.raises(KeyboardInterrupt):
        simulated(tmp_path / "stopped", watcher=Stopping(after), federation=toy)
    stopped = RunDirectory(tmp_path / "stopped")
    assert Checkpoint.load(stopped.checkpoint("honest")).progress.round == after
    assert content_of(stopped) != content_of(whole)
    simulated(tmp_path / "stopped", federation=toy)
    assert content_of(stopped) == content_of(whole)


def test_a_run_that_lost_its_checkpoint_starts_again(toy_run: Path, tmp_path: Path) -> None:
    run = simulated(tmp_path / "r")
    run.checkpoint("honest").unlink()
    simulated(tmp_path / "r")
    assert content_of(run) == content_of(RunDirectory(toy_run))


@pytest.mark.parametrize("missing", ["history", "checkpoint"])
def test_a_crash_while_the_end_is_written_is_made_good(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def crashes(*arguments: object) -> None:
        raise SystemExit

    target = (checkpointing, "write_json") if missing == "history" else (Checkpoint, "save")
    with monkeypatch.context() as patched:
        patched.setattr(*target, crashes)
        with pytest.raises(SystemExit):
            simulated(tmp_path / "r")
    simulated(tmp_path / "r")
    assert content_of(RunDirectory(tmp_path / "r")) == content_of(RunDirectory(toy_run))


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    run = simulated(tmp_path / "r")
    run.checkpoint("honest").write_bytes(run.checkpoint("honest").read_bytes()[:-1])
    with pytest.raises(RunDirectoryError, match="delete it to start from round 1"):
        simulated(tmp_path / "r")


def test_a_disk_that_is_too_small_is_told_before_round_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedsim.observation import snapshots

    usage = snapshots.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(snapshots.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(SnapshotError, match="observe fewer rounds"):
        simulated(tmp_path / "r")
    assert not list((tmp_path / "r").glob("snapshots/*/*"))


@pytest.mark.parametrize(
    ("sections", "kind", "told"),
    [
        (
            {"audit": {"known_members": 40}},
            DataError,
            "audit of participant-0: members: audit.known_members is 40",
        ),
        ({"partition": {"participants": 3, "records": 90}}, DataError, "90"),
        (
            {"adversaries": [{"name": "curious-participant", "participant": 3}]},
            FedsimError,
            "3",
        ),
        (
            {"adversaries": [{"name": "isolating-server", "first": 5}]},
            FedsimError,
            "isolating-server acts from round 5 on, but federation.rounds is 4; let it act earlier",
        ),
        ({"adversaries": ["toys:blobs"]}, FedsimError, "must derive from fedsim.ServerAdversary"),
        ({"attacks": ["toys:blobs"]}, FedsimError, "must derive from fedsim.Attack"),
        ({"model": "toys:blobs"}, FedsimError, "must return a torch.nn.Module"),
        ({"model": "alexnet"}, FedsimError, r"alexnet takes images of \(channels, 32, 32\)"),
        (
            {"federation": {"strategy": "FedSGD"}},
            FedsimError,
            "no 'FedSGD' among the strategies",
        ),
        (
            {"federation": {"local": {"optimizer": "lion"}}},
            FedsimError,
            "there is no 'lion' among the optimizers; valid: adam, adamw, sgd",
        ),
        (
            {"federation": {"local": {"learning_rate": 1e39}}},
            FedsimError,
            r"participant \d in round [12] sent 'linear1.weight' with values that are not finite",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence(
    tmp_path: Path, sections: dict[str, object], kind: type[FedsimError], told: str
) -> None:
    toy = toys.tree()
    if isinstance(inner := sections.get("federation"), dict):
        sections = {"federation": {**toy["federation"], **inner}}
    with pytest.raises(kind, match=told) as error:
        simulated(tmp_path / "r", **sections)
    assert "\n" not in str(error.value)


def test_the_plan_counts_what_the_run_writes(toy_run: Path) -> None:
    setup = build_setup(experiment(), None, SILENCE)
    planned = plan(setup)
    assert (planned.rounds, planned.observed_rounds, planned.participants) == (4, (2, 4), 3)
    assert planned.parameters == 12 * 16 + 16 + 16 * 4 + 4
    assert planned.snapshot_bytes == 6 * planned.parameters * 4
    assert planned.audited_records == 2 * 40
    written = sum(p.stat().st_size for p in toy_run.glob("snapshots/*/*"))
    assert planned.snapshot_bytes <= written < planned.snapshot_bytes + 6 * 1000


def test_all_uploads_are_kept_on_request(tmp_path: Path) -> None:
    everybody = {
        "snapshots": {"rounds": [4], "participants": "all"},
        "adversaries": ["curious-server"],
    }
    run = simulated(tmp_path / "r", **everybody)
    assert [p.name for p in sorted(run.snapshots("curious-server").iterdir())] == [
        *(f"round-00004.participant-{p}.safetensors" for p in range(3)),
        "round-00004.sent-0.safetensors",
    ]
    planned = plan(build_setup(experiment(**everybody), None, SILENCE))
    assert planned.snapshot_bytes == 4 * 4 * planned.parameters


def test_each_threat_is_stated_in_full() -> None:
    toy = experiment()
    server, participant = stated_threats(build_setup(toy, None, SILENCE).attackers, toy)
    assert (server.adversary, server.threat.who) == ("curious-server", "the server")
    assert (participant.adversary, participant.threat.who) == (
        "curious-participant",
        "participant 2",
    )
    assert server.asks == ("participant 0",)
    [asked] = participant.asks
    assert "2" in asked
    for stated in (server, participant):
        assert stated.threat.does == toys.PASSIVE
        assert stated.knows.endswith("10 members and 10 non-members")


def test_malicious_updates_are_read_under_the_name_of_earlier_versions(
    toy_run: Path, tmp_path: Path
) -> None:
    run = RunDirectory(Path(shutil.copytree(toy_run, tmp_path / "run")))
    today = run.malicious_updates("honest")
    assert today.name == "malicious_updates.json"
    expected = read_malicious_updates(today)
    earlier = today.rename(today.with_name("crafted.json"))
    assert run.malicious_updates("honest") == earlier
    assert read_malicious_updates(run.malicious_updates("honest")) == expected
