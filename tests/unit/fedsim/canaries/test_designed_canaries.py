"""Designed canaries: gradients apart from the others', kept by the ledger, found by an attack."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys

import fedsim
from fedsim.canaries import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.canaries.designed import DesignedRecords, design_loss
from fedsim.canaries.drawing import crafted_canaries
from fedsim.config.loading import experiment_of_tree
from fedsim.conformance.canary_checks import CanaryTrial
from fedsim.data import Arrays, read_ledger
from fedsim.data.dataset import Dataset
from fedsim.data.designed import stored_features, with_designed_features
from fedsim.data.splitting import from_arrays
from fedsim.errors import DataError, PluginError
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup


def designed_by(trial: CanaryTrial, count: int = 10) -> CraftedCanaries:
    return trial.crafted(count)


def gradients(candidates: CandidateRecords, dataset: Dataset, places: Any) -> torch.Tensor:
    model = candidates.new_model().eval()
    found = []
    for place in places:
        model.zero_grad()
        inputs, targets = dataset.batch(np.array([place]))
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
        parts = [p.grad.reshape(-1) for p in model.parameters() if p.grad is not None]
        found.append(torch.cat(parts).clone())
    return torch.stack(found)


def test_their_gradients_stand_apart_and_are_as_long_as_the_longest() -> None:
    trial = CanaryTrial("designed", {"mocks": 70, "steps": 60})
    crafted, candidates = designed_by(trial), trial.candidates
    assert crafted.features is not None
    designed = with_designed_features(
        candidates.dataset, dict(zip(crafted.places.tolist(), crafted.features, strict=True))
    )
    others = np.setdiff1d(np.arange(len(candidates)), crafted.places)
    mocks = gradients(candidates, candidates.dataset, others)
    largest = float(mocks.norm(dim=1).max())
    directions = torch.nn.functional.normalize(mocks, dim=1)

    def losses(dataset: Dataset) -> float:
        each = gradients(candidates, dataset, crafted.places)
        return float(np.mean([float(design_loss(g, directions, largest)) for g in each]))

    before, after = losses(candidates.dataset), losses(designed)
    assert after < 0.7 * before, (before, after)


def test_a_run_trains_on_them_keeps_them_and_goes_on(tmp_path: Path) -> None:
    tree = toys.tree(
        data={"name": "toys:blobs", "records": 900, "noise": 4.0, "test_records": 100},
        partition={"participants": 3, "records": 200},
        federation={"rounds": 6, "local": {"batch_size": 20, "learning_rate": 0.2, "epochs": 4}},
        snapshots={"rounds": [6]},
        audit={
            "known_members": 10,
            "known_nonmembers": 10,
            "tested_members": 40,
            "tested_nonmembers": 40,
            "canaries": [{"name": "designed", "steps": 10}],
        },
        attacks=["loss"],
    )
    run = fedsim.run(tree, tmp_path / "run")
    ledger = read_ledger(RunDirectory(run.path).ledger)
    assert ledger.canaries is not None
    canaries = np.flatnonzero(ledger.canaries == "designed")
    assert (len(canaries), sorted(ledger.designed)) == (100, canaries.tolist())
    experiment = experiment_of_tree(tree, "the toy")
    fresh = build_setup(experiment, None, SILENCE)
    again = build_setup(experiment, None, SILENCE, ledger=ledger)
    assert again.dataset.digest == fresh.dataset.digest
    plain = toys.blobs(900, 4.0).features
    changed = (np.asarray(again.dataset.features) != plain).any(1)
    assert np.flatnonzero(changed).tolist() == canaries.tolist()
    before = run.results.model_dump_json()
    assert fedsim.run(tree, tmp_path / "run").results.model_dump_json() == before


def test_whole_numbers_come_back_as_they_were() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 3, 4, 4)).astype(np.uint8)
    arrays = Arrays(images, np.arange(20) % 2, num_classes=2, mean=(0.4,) * 3, std=(0.2,) * 3)
    dataset = from_arrays("images", arrays, test_records=5, seed=0)
    inputs, _ = dataset.batch(np.arange(20))
    assert np.array_equal(stored_features(dataset, inputs), images)
    assert stored_features(dataset, inputs * 9).max() == images.max()
    with pytest.raises(DataError, match="record 3 is a canary with 5 features"):
        with_designed_features(dataset, {3: np.zeros(5)})


class Wide(CanaryKind):
    """Features that the data do not have."""

    def craft(self, candidates: CandidateRecords, count: int, random: Any) -> CraftedCanaries:
        places = np.arange(count)
        labels = np.asarray(candidates.dataset.labels)[places]
        return CraftedCanaries(places, labels, np.zeros((count, 3), dtype=np.float32))


def test_what_does_not_fit_is_refused() -> None:
    candidates = CanaryTrial("designed", {}).candidates
    with pytest.raises(PluginError, match="gave features of float32 and shape"):
        crafted_canaries("wide", Wide(), candidates, 5, np.random.default_rng(0))
    tokens = Arrays(np.arange(40).reshape(10, 4), np.arange(10) % 2, num_classes=2)
    dataset = from_arrays("tokens", tokens, test_records=2, seed=0)
    integers = CandidateRecords(dataset, candidates.new_model, candidates.objective)
    with pytest.raises(DataError, match="need features that are numbers"):
        DesignedRecords().craft(integers, 2, np.random.default_rng(0))
