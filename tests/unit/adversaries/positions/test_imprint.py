"""The imprint: which records one division reads back, under one and several steps and from sums."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import toys

import fedsim
from adversaries.inference.imprint import READ, Imprint, equal_rows, reconstructions
from adversaries.inference.planted_units import MovedLayer
from adversaries.positions.imprint_server import bins
from fedsim.errors import FedsimError


@cache
def finished(folder: Path, batch_size: int, *defences: str) -> Any:
    tree = toys.tree(
        data={"records": 400},
        partition={"records": 50},
        model={"widths": [300, 16], "activation": "relu"},
        federation={
            "rounds": 2,
            "local": {"batch_size": batch_size, "optimizer": "sgd", "learning_rate": 0.02},
        },
        snapshots={"rounds": [1, 2]},
        audit={
            "known_members": 20,
            "known_nonmembers": 20,
            "tested_members": 30,
            "tested_nonmembers": 100,
        },
        adversaries=[{"name": "imprint-server", "units": 250}],
        attacks=["imprint", "loss"],
        defences=list(defences),
    )
    return fedsim.run(tree, folder / "-".join((str(batch_size), *defences)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imprint")


def read_back(run: Any) -> tuple[float, float, float]:
    """Return the AUC, and which share of known members and non-members was read back."""
    (area,) = [row.auc.value for row in run.results.results if row.attack == "imprint"][:1]
    found = {f.title: f.figures for f in run.results.findings}["records read back from bins"]
    return area, found["known members read back"], found["known non-members read back"]


def test_one_step_gives_most_records_back(folder: Path) -> None:
    """Of 50 records in 250 bins, e^-.2 = .82 are expected to be alone."""
    area, members, others = read_back(finished(folder, 50))
    assert area > 0.9
    assert members >= 0.9
    assert others == 0.0


def test_the_sum_under_secure_aggregation_gives_them_back_too(folder: Path) -> None:
    area, members, others = read_back(finished(folder, 50, "secure-aggregation"))
    assert area > 0.9
    assert members >= 0.6
    assert others == 0.0


def test_several_local_steps_blur_what_is_read(folder: Path) -> None:
    """Five steps: the outgoing weights drift apart, so neighbours no longer cancel."""
    area, members, others = read_back(finished(folder, 10))
    assert area > 0.9
    assert others == 0.0
    assert members <= read_back(finished(folder, 50))[1]


def test_what_a_participant_could_notice_is_stated(folder: Path) -> None:
    run = finished(folder, 50)
    rows = {f.title: f.rows for f in run.results.findings}["records read back from bins"]
    assert [row[1] for row in rows] == [250, 0]  # active in the first round only


def test_a_record_alone_in_its_bin_is_read_exactly() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(30, 12, dtype=torch.float64, generator=random)
    units = bins(features, 400, 5, 1.0, random)
    slope = features @ units.weight.double().T + units.alive.double() > 0
    factors = torch.rand(30, 1, dtype=torch.float64, generator=random) + 0.1
    moved = slope.double().T @ (factors * features)
    biases = slope.double().T @ factors[:, 0]
    one = MovedLayer(1, units.weight.double(), units.alive.double(), moved, biases)
    apart = torch.cdist(features, reconstructions(one)).min(1).values
    assert (apart < 1e-6).double().mean() > 0.8


def test_equal_rows_are_no_accident() -> None:
    assert equal_rows(torch.randn(20, 4)).tolist() == []
    assert equal_rows(torch.zeros(20, 4)).tolist() == []  # units that were pruned


def test_tanh_is_refused_before_round_1(tmp_path: Path) -> None:
    tree = toys.tree(adversaries=["imprint-server"], attacks=["imprint"])
    tree["model"] = {"name": "fully-connected", "widths": [300], "activation": "tanh"}
    with pytest.raises(FedsimError, match="imprint-server needs a ReLU"):
        fedsim.run(tree, tmp_path / "run")
    assert READ == 0.1


def test_distances_are_computed_once_for_scores_and_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views: list[object] = []

    def nearest(_: Imprint, view: object) -> torch.Tensor:
        views.append(view)
        return torch.tensor([float(len(views))])

    monkeypatch.setattr(Imprint, "_nearest", nearest)
    attack, one, other = Imprint(), object(), object()
    assert [float(attack._distances(view)) for view in (one, one, other, other, one)] == [
        1.0,
        1.0,
        2.0,
        2.0,
        3.0,
    ]
    assert views == [one, other, one]
