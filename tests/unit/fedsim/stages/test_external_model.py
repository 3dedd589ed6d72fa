"""A model that was trained elsewhere is judged as a run is, and what does not fit is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord
from safetensors.torch import save_file
from torch import nn

from adversaries import CuriousParticipant, CuriousServer
from fedsim.api import attack, attack_given, run
from fedsim.config.loading import read_experiment
from fedsim.data import load_dataset
from fedsim.errors import ConfigError, FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.external_model import ExternalModel, set_given_setup

MEMBERS = np.arange(0, 120)
NOISY = {"name": "toys:blobs", "noise": 4.0}


def trained(steps: int) -> nn.Module:
    """Return the toy model, overfitted to the members in full batches."""
    model = toys.new_model()
    data = load_dataset("toys:blobs", {"noise": 4.0}, data_dir=None, seed=3, test_records=60)
    inputs, labels = data.batch(MEMBERS)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with weights after 40 and 400 steps, and who was in the data."""
    path = tmp_path_factory.mktemp("given")
    for steps in (40, 400):
        save_file(trained(steps).state_dict(), path / f"after-{steps}.safetensors")
    rows = (f"{record},{record < len(MEMBERS)}".lower() for record in range(240))
    (path / "who.csv").write_text("\n".join(["record,member", *rows]))
    return path


def given(folder: Path, **changed: object) -> ExternalModel:
    usual = ExternalModel(
        model={"name": "fully-connected", "widths": [16]},
        data=NOISY,
        membership=folder / "who.csv",
        adversary="released-model",
        attacks=("loss", "label", "random"),
        weights=(folder / "after-40.safetensors", folder / "after-400.safetensors"),
    )
    return dataclasses.replace(usual, **changed)  # type: ignore[arg-type]


def test_its_page_speaks_of_no_federation(folder: Path, tmp_path: Path) -> None:
    attacks = ("random", "loss", "gradient-norm", "scalar-logistic")
    results = attack_given(given(folder, attacks=attacks), tmp_path / "run").results
    (threat,) = results.threat_models
    assert (threat.who, threat.sees) == (
        "the holder of the model",
        "2 versions of the model, and nothing of the training",
    )
    page = (tmp_path / "run" / "report.html").read_text().split("<h1>")[1].split("<pre>")[0]
    assert page.startswith(
        "The holder of the model tells members of the model&#39;s training data from others"
    )
    assert "asked about: its training data" in page
    assert "How exposure grows with observed snapshots" in page
    for foreign in ("federation", "participant", "server", "the protocol", "rounds"):
        assert foreign not in page, foreign
    # The file of results keeps its keys: others read it.
    assert {row.victim for row in results.results} == {"participant-0", "mean"}


def test_a_leak_is_found_and_the_weights_are_the_snapshots(folder: Path, tmp_path: Path) -> None:
    results = attack_given(given(folder), tmp_path / "out").results
    directory = RunDirectory(tmp_path / "out")
    seen = SnapshotStore(directory.snapshots("released-model")).series(SnapshotKind.AGGREGATE.of())
    assert [snapshot.round for snapshot in seen] == [1, 2]
    last = trained(400).state_dict()
    assert all(torch.equal(last[k], v) for k, v in seen[-1].load().items())
    found = {(r.attack, r.victim): r for r in results.results}
    assert found["loss", "participant-0"].auc.value > 0.75
    assert found["loss", "participant-0"].members == 60
    assert abs(found["random", "participant-0"].auc.value - 0.5) < 0.15
    assert results.utility["train_accuracy"] > results.utility["test_accuracy"] + 0.1
    assert (tmp_path / "out" / "report.html").is_file()


def test_it_is_attacked_again_and_the_scores_are_the_same(folder: Path, tmp_path: Path) -> None:
    first = attack_given(given(folder), tmp_path / "out").results
    again = attack(tmp_path / "out", attacks=["loss", "gradient-norm"]).results
    old = {r.attack: r.auc for r in first.results}
    new = {r.attack: r.auc for r in again.results}
    assert new["loss"] == old["loss"]
    assert set(new) == {"loss", "label", "random", "gradient-norm"}


def test_it_cannot_be_run_as_a_federation(folder: Path, tmp_path: Path) -> None:
    attack_given(given(folder), tmp_path / "out")
    experiment = read_experiment(tmp_path / "out" / "experiment.yaml")
    with pytest.raises(ConfigError, match="trained elsewhere"):
        run(experiment, tmp_path / "again")


def test_other_weights_are_another_run(folder: Path, tmp_path: Path) -> None:
    attack_given(given(folder), tmp_path / "out")
    weights = (folder / "after-400.safetensors", folder / "after-40.safetensors")
    with pytest.raises(FedsimError, match="another experiment"):
        attack_given(given(folder, weights=weights), tmp_path / "out")


def test_snapshots_of_a_third_party_app_are_taken(folder: Path, tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "kept")
    for number, steps in ((3, 40), (7, 400)):
        store.keep(number, SnapshotKind.UPLOAD.of(1), ArrayRecord(trained(steps).state_dict()))
    asked = given(folder, weights=(), snapshots=tmp_path / "kept")
    results = attack_given(asked, tmp_path / "out").results
    # No header says who kept them.
    kept = SnapshotStore(RunDirectory(tmp_path / "out").snapshots("released-model")).index()
    assert [(one.round, one.owner) for one in kept] == [(3, "participant-0"), (7, "participant-0")]
    assert "of participant 1 (upload)" in results.threat_models[0].sees
    by_weights = attack_given(given(folder), tmp_path / "weights").results
    by_snapshots = json.loads((tmp_path / "out" / "results.json").read_text())
    aucs = {r["attack"]: r["figures"]["auc"]["value"] for r in by_snapshots["results"]}
    assert aucs["loss"] == next(r.auc.value for r in by_weights.results if r.attack == "loss")
    store.keep(7, SnapshotKind.AGGREGATE.of(), ArrayRecord(trained(1).state_dict()))
    assert keys_of(asked) == {"participant-0", "aggregate"}
    assert keys_of(dataclasses.replace(asked, owner="participant-1")) == {"participant-0"}
    assert keys_of(dataclasses.replace(asked, owner="aggregate")) == {"aggregate"}


def keys_of(asked: ExternalModel) -> set[str]:
    return {key.name for _, key in set_given_setup(asked, None, SILENCE)[1]}


NODE = 6_000_000_000_000  # participant p is node NODE + p


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a server and a participant kept in an app: participant 1 leaks."""
    path = tmp_path_factory.mktemp("app")
    server, peer = CuriousServer().keep_in(path / "server"), CuriousParticipant(3)
    peer.keep_in(path / "participant")
    at_first, leaking = (ArrayRecord(trained(steps).state_dict()) for steps in (0, 400))
    for number in (1, 2):
        for participant in range(4):
            server.send(number, NODE + participant, at_first)
            honest = ArrayRecord(trained(2 + participant).state_dict())
            server.receive(number, NODE + participant, leaking if participant == 1 else honest)
        peer.record(number, SnapshotKind.AGGREGATE.of(), at_first)
    nodes = {str(NODE + participant): participant for participant in range(4)}
    (path / "server" / "nodes.json").write_text(json.dumps(nodes))
    return path


def test_all_that_a_server_kept_is_attacked(folder: Path, app: Path, tmp_path: Path) -> None:
    attacks = ({"name": "fedmia", "measure": "loss"}, "gradient-norm", "loss", "random")
    asked = given(folder, weights=(), snapshots=app / "server", victim=1, attacks=attacks)
    results = attack_given(asked, tmp_path / "out").results
    (threat,) = results.threat_models
    assert (threat.adversary, threat.who) == ("curious-server", "the server")
    assert threat.does == "nothing: it follows the protocol"
    assert (
        f"of participant 1 (node {NODE + 1}) (sent, upload), beside 3 other participants"
        in threat.sees
    )
    kept = SnapshotStore(RunDirectory(tmp_path / "out").snapshots("curious-server")).index()
    uploads = [f"participant-{number}" for number in range(4)]
    assert [one.owner for one in kept] == ["sent-0", *uploads] * 2
    victims = {r.attack: r.auc.value for r in results.results if r.victim == "participant-0"}
    assert min(victims["fedmia"], victims["loss"]) > 0.75
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The server tells members of the model&#39;s training data from others" in page
    again = attack(tmp_path / "out", attacks=attacks[:1]).results
    assert {r.attack: r.auc.value for r in again.results}["fedmia"] == victims["fedmia"]
    # Another participant does not leak so, and the same is seen by the number of its node.
    by_node = dataclasses.replace(asked, victim=NODE, attacks=("loss",))
    others = attack_given(by_node, tmp_path / "other").results
    assert others.results[0].auc.value < victims["loss"] - 0.1


def test_owners_together_and_from_several_folders(folder: Path, app: Path) -> None:
    kept = (app / "server", app / "participant")
    asked = given(folder, weights=(), snapshots=kept, owner=(f"participant-{NODE + 1}", "sent-1"))
    setup, states = set_given_setup(asked, None, SILENCE)
    assert [(n, key.name) for n, key in states] == [
        *((1, "sent-0"), (1, "participant-0"), (2, "sent-0"), (2, "participant-0"))
    ]
    assert setup.ledger.participants == 1
    both = dataclasses.replace(asked, owner=("participant-2", "aggregate", "participant-0"))
    setup, states = set_given_setup(both, None, SILENCE)
    assert {key.name for _, key in states} == {"participant-0", "participant-1", "aggregate"}
    assert setup.attackers[0].label == "curious-participant+curious-server"
    first = states[1, SnapshotKind.UPLOAD.of(0)]  # the victim is the owner that was named first
    assert all(torch.equal(first[k], v) for k, v in trained(4).state_dict().items())


def test_what_is_ambiguous_is_one_sentence(folder: Path, app: Path, tmp_path: Path) -> None:
    asked = given(folder, weights=(), snapshots=app / "server")
    cases: list[tuple[dict[str, object], str]] = [
        ({}, "participant-3.*sent-3: several participants; name .* with --victim N"),
        ({"victim": 8}, "no upload of participant 8; name"),
        ({"owner": "participant-9"}, "no snapshots of participant-9; valid: participant-0"),
        ({"owner": "participant"}, "'participant' is not the name of a snapshot"),
        ({"owner": ("sent-0", "sent-1")}, "training has made none of sent-0, sent-1"),
    ]
    for changed, sentence in cases:
        with pytest.raises(FedsimError, match=sentence) as error:
            keys_of(dataclasses.replace(asked, **changed))  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    store = SnapshotStore(tmp_path)
    store.keep(1, SnapshotKind.UPLOAD.of(1), ArrayRecord(trained(1).state_dict()))
    with pytest.raises(FedsimError, match="both are the upload of participant 1 in round 1, and"):
        keys_of(dataclasses.replace(asked, snapshots=(app / "server", tmp_path), victim=1))


def saved(path: Path, **changed: torch.Tensor | None) -> tuple[Path]:
    state = {**toys.new_model().state_dict(), **changed}
    save_file({k: v for k, v in state.items() if v is not None}, path)
    return (path,)


def headless(input_shape: tuple[int, ...]) -> nn.Module:
    """Return a model that takes other inputs than the toy's."""
    return nn.Linear(5, 4)


def few_classes(input_shape: tuple[int, ...]) -> nn.Module:
    """Return a model with too few logits."""
    return nn.Linear(*input_shape, 2)


def test_what_does_not_fit_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    bias = "classifier.bias"
    cases: list[tuple[dict[str, object], str]] = [
        ({"weights": (tmp_path / "w.pt",)}, r"no pickle is loaded.*save_file"),
        ({"weights": (tmp_path / "no.safetensors",)}, "there is no file of weights"),
        ({"weights": ()}, "no weights are given"),
        ({"weights": saved(tmp_path / "a", **{bias: None})}, f"missing {bias}; not known none"),
        ({"weights": saved(tmp_path / "b", **{bias: torch.zeros(9)})}, r"of shape \(9,\) where"),
        ({"weights": saved(tmp_path / "c", **{bias: torch.full((4,), torch.nan)})}, "not finite"),
        ({"model": "test_external_model:headless"}, r"does not take records of shape \(12,\)"),
        (
            {"model": "test_external_model:few_classes"},
            "class numbers below 2, the number of the model's outputs",
        ),
        ({"snapshots": tmp_path / "none"}, "not a folder with snapshots"),
        ({"model": {"name": "fully-connected", "width": 3}}, "unknown setting 'width'"),
    ]
    for changed, sentence in cases:
        with pytest.raises(FedsimError, match=sentence) as error:
            set_given_setup(given(folder, **changed), None, SILENCE)
        assert "\n" not in str(error.value)
