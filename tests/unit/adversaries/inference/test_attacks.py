"""The attacks as plugins, over a whole toy run: from snapshots to judged scores."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord

from adversaries.inference.feature_cache import observed_features, observed_inputs, positions
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SCALARS
from adversaries.inference.input_selection import PRESETS, InputSettings
from adversaries.inference.inputs import LAST_LAYER
from adversaries.inference.scalar_logistic import ScalarLogistic
from adversaries.inference.supervised import Supervised, drawn_records
from adversaries.inference.unsupervised import Unsupervised
from adversaries.signals.gradient_norm import GradientNorm
from adversaries.signals.loss import Loss
from fedsim import plugins
from fedsim.api import attack, run
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.data import about_participant, read_ledger
from fedsim.errors import DataError, FedsimError, SnapshotError
from fedsim.evaluation.metrics import auc
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory

LEAKY = {
    "data": {"name": "toys:blobs", "records": 900, "noise": 4.0, "test_records": 100},
    "partition": {"participants": 3, "records": 160},
    "model": {"name": "fully-connected", "widths": [64]},
    "federation": {
        "rounds": 12,
        "local": {"epochs": 4, "batch_size": 10, "learning_rate": 0.1},
        "evaluation": {"every": 6},
    },
    "snapshots": {"rounds": [6, 9, 12]},
    "audit": {
        "victims": [0],
        "known_members": 60,
        "known_nonmembers": 60,
        "tested_members": 100,
        "tested_nonmembers": 100,
    },
    "attacks": ["supervised", "unsupervised", "scalar-logistic", "loss", "gradient-norm"],
}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("leaky") / "run"
    run(toys.experiment(**LEAKY), path)
    return RunDirectory(path)


def observation_of(leaky: RunDirectory, folder: Path) -> tuple[View, AuxiliaryRecords, np.ndarray]:
    toy = toys.experiment(**LEAKY)
    setup = toys.build_setup(toy, None, SILENCE)
    audit = read_ledger(leaky.ledger).audit(about_participant(0))
    observation = View(
        "curious-server",
        about_participant(0),
        SnapshotStore(leaky.snapshots("curious-server")).series(SnapshotKind.UPLOAD.of(0)),
        setup.new_model,
        setup.dataset,
        audit.records,
        folder,
    )
    known = AuxiliaryRecords(audit.records[audit.known], audit.member[audit.known])
    return observation, known, audit.member


def test_a_leak_is_found_by_every_attack_and_mostly_by_the_server(leaky: RunDirectory) -> None:
    rows = json.loads(leaky.results.read_text())["results"]
    found = {(r["adversary"], r["attack"]): r for r in rows if r["victim"] == "mean"}
    assert {name for _, name in found} == set(LEAKY["attacks"])  # type: ignore[arg-type]
    for name in ("supervised", "scalar-logistic", "loss", "gradient-norm"):
        assert found["curious-server", name]["figures"]["auc"]["value"] > 0.75
    server = found["curious-server", "supervised"]
    assert (
        server["figures"]["auc"]["value"]
        > found["curious-participant", "supervised"]["figures"]["auc"]["value"]
    )
    assert server["figures"]["auc"]["low"] > 0.7
    assert not server["baseline"]
    assert found["curious-server", "loss"]["baseline"]


def test_known_records_are_scored_without_their_own_truth(
    leaky: RunDirectory, tmp_path: Path
) -> None:
    observation, known, _ = observation_of(leaky, tmp_path)
    shuffled = np.random.default_rng(0).permutation(known.member)
    scores = Supervised().score(
        observation, AuxiliaryRecords(known.records, shuffled), known.records, 1, SILENCE
    )
    # 60 + 60 records: the standard deviation of a null AUC is .053.
    assert abs(auc(scores[shuffled], scores[~shuffled]) - 0.5) < 0.16


def test_it_may_learn_from_some_of_the_known_records_only(
    leaky: RunDirectory, tmp_path: Path
) -> None:
    observation, known, _ = observation_of(leaky, tmp_path)

    def scored(attack: Supervised, told: AuxiliaryRecords = known) -> np.ndarray:
        return attack.score(observation, told, observation.records, 1, SILENCE)

    some = drawn_records(known, 20, 15, 1)
    assert (some.member.sum(), (~some.member).sum()) == (20, 15)
    assert all(
        known.member[known.records == r] == m
        for r, m in zip(some.records, some.member, strict=True)
    )
    # As if nobody else were known: what is drawn is all that it learns from.
    few = scored(Supervised(learns_from=(20, 15)))
    np.testing.assert_array_equal(few, scored(Supervised(), some))
    assert not np.array_equal(few, scored(Supervised()))
    np.testing.assert_array_equal(scored(Supervised(learns_from=(60, 60))), scored(Supervised()))
    assert np.isin(drawn_records(known, 10, 15, 1).records, some.records).all()
    with pytest.raises(DataError, match="cannot learn from 61 known non-members: 60 are known"):
        scored(Supervised(learns_from=(60, 61)))
    with pytest.raises(DataError, match="cannot learn from 0 known members"):
        scored(Supervised(learns_from=(0, 60)))


def test_scores_do_not_depend_on_the_order_of_the_candidates(
    leaky: RunDirectory, tmp_path: Path
) -> None:
    observation, known, _ = observation_of(leaky, tmp_path)
    backwards = observation.records[::-1].copy()
    forth = Supervised().score(observation, known, observation.records, 2, SILENCE)
    back = Supervised().score(observation, known, backwards, 2, SILENCE)
    np.testing.assert_allclose(forth, back[::-1], rtol=1e-4, atol=1e-5)


def test_features_are_extracted_once(leaky: RunDirectory, tmp_path: Path) -> None:
    observation, _, _ = observation_of(leaky, tmp_path)
    first = observed_features(observation, SILENCE, FeatureSpec())
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(made) == len(first) == 3
    again = observed_features(observation, SILENCE, FeatureSpec())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.scalars, other.scalars)


def test_a_record_that_is_not_audited_is_refused(leaky: RunDirectory, tmp_path: Path) -> None:
    observation, _, _ = observation_of(leaky, tmp_path)
    third_party = np.setdiff1d(np.arange(900), observation.records)[:1]
    with pytest.raises(
        SnapshotError, match=f"record {third_party[0]} is not among the 320 audited"
    ):
        positions(observation, third_party)


def test_hidden_layers_outputs_can_be_attacked_too(leaky: RunDirectory, tmp_path: Path) -> None:
    observation, known, member = observation_of(leaky, tmp_path)
    settings = {"inputs": {"outputs": [-1, "linear1"]}, "training": {"folds": 3, "epochs": 10}}
    built = plugins.build("attacks", "supervised", settings)
    scores = built.score(observation, known, observation.records, 3, SILENCE)
    assert auc(scores[member], scores[~member]) > 0.75


def test_features_of_another_version_are_not_read(
    leaky: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observation, _, _ = observation_of(leaky, tmp_path)
    observed_features(observation, SILENCE, FeatureSpec())
    monkeypatch.setattr("adversaries.inference.feature_cache.FORMAT", "fedsim-features-next")
    observed_features(observation, SILENCE, FeatureSpec())
    assert len(list(tmp_path.iterdir())) == 6


def test_features_that_take_too_much_memory_are_refused_before_they_are_made(
    leaky: RunDirectory, tmp_path: Path
) -> None:
    observation, _, _ = observation_of(leaky, tmp_path)
    settings = InputSettings(gradients=("linear1",), memory_limit_gb=1e-6)
    with pytest.raises(
        FedsimError,
        match=r"\(linear1\) of 320 records on 3 snapshots takes .*memory_limit_gb is 1e-06;",
    ):
        observed_inputs(observation, SILENCE, settings)
    assert not list(tmp_path.iterdir())


def test_what_was_sent_is_read_as_reactions_and_by_no_level(
    leaky: RunDirectory, tmp_path: Path
) -> None:
    observation, known, member = observation_of(leaky, tmp_path / "features")
    plain = observed_inputs(observation, SILENCE, PRESETS["white-box-gradients"])
    store = SnapshotStore(tmp_path / "seen")
    for snapshot in observation.seen:
        state = snapshot.load()
        store.keep(snapshot.round, SnapshotKind.UPLOAD.of(0), ArrayRecord(state))
        if snapshot.round > 6:
            moved = {name: value * 0.9 for name, value in state.items()}
            store.keep(snapshot.round, SnapshotKind.SENT.of(0), ArrayRecord(moved))
    both = replace(observation, seen=store.index())
    assert len(both.seen) == 5
    found = observed_inputs(both, SILENCE, PRESETS["white-box-gradients"])
    assert torch.equal(found.scalars, plain.scalars)
    assert torch.equal(found.outputs[LAST_LAYER], plain.outputs[LAST_LAYER])
    assert found.reactions.shape == (2, len(plain), len(SCALARS))
    assert plain.reactions.shape[0] == 0
    np.testing.assert_array_equal(
        Loss().score(both, known, observation.records, 0, SILENCE),
        Loss().score(observation, known, observation.records, 0, SILENCE),
    )
    np.testing.assert_array_equal(
        GradientNorm().score(both, known, observation.records, 0, SILENCE),
        GradientNorm().score(observation, known, observation.records, 0, SILENCE),
    )
    for attack_ in (ScalarLogistic(), Unsupervised()):
        scores = attack_.score(both, known, observation.records, 0, SILENCE)
        assert auc(scores[member], scores[~member]) > 0.7


@pytest.mark.parametrize(
    "inputs",
    [
        "black-box",
        {"outputs": [-1, -2], "loss": True},
        {"gradients": [-2]},
        {"gradients": [-1, -2]},
    ],
)
def test_other_inputs_find_the_leak_too(
    leaky: RunDirectory, tmp_path: Path, inputs: object
) -> None:
    observation, known, member = observation_of(leaky, tmp_path)
    settings = {"inputs": inputs, "training": {"folds": 3, "epochs": 20, "batch_size": 16}}
    built = plugins.build("attacks", "supervised", settings)
    scores, again = (
        built.score(observation, known, observation.records, 3, SILENCE) for _ in range(2)
    )
    np.testing.assert_array_equal(scores, again)
    assert auc(scores[member], scores[~member]) > 0.75


def test_a_missing_snapshot_is_told_and_other_attacks_are_added(leaky: RunDirectory) -> None:
    lost = leaky.snapshots("curious-server") / "round-00009.participant-0.safetensors"
    kept = lost.read_bytes()
    lost.unlink()
    told: list[str] = []

    class Listening(toys.Stopping):
        def say(self, text: str) -> None:
            told.append(text)

    results = attack(leaky.path, attacks=["label"], watcher=Listening(-1)).results
    lost.write_bytes(kept)
    assert told == [
        "curious-server has no snapshot of participant-0 in rounds 9; the attacks go on with the "
        "other 2"
    ]
    assert {row.attack for row in results.results} == {*LEAKY["attacks"], "label"}  # type: ignore[misc]
