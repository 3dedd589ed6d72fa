"""The planted neuron: one unit a target, read back under several local steps and from sums."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file
from torch import nn

import fedsim
from adversaries.inference.entry_layer import EntryLayer, entry_layer
from adversaries.inference.planted_neuron import ROUNDING
from adversaries.positions.planted_neuron_server import PlantedNeuronServer, single_out
from adversaries.positions.unit_planting import plant_units
from fedsim.data import Arrays
from fedsim.errors import FedsimError
from fedsim.rundir import RunDirectory

NAME = "planted-neuron-server"


def wide(records: int = 900, features: int = 120) -> Arrays:
    """Clouds in as many dimensions as there are records of a victim: planes tell each apart."""
    random = np.random.default_rng(0)
    labels = random.integers(4, size=records)
    points = random.normal(size=(4, features))[labels] + random.normal(size=(records, features))
    return Arrays((points + 1).astype(np.float32), labels, num_classes=4)


@cache
def finished(folder: Path, activation: str, *defences: str) -> Any:
    adversary = {"name": NAME, "units": 40}
    tree = toys.tree(
        data={"name": f"{__name__}:wide", "records": 900},
        partition={"records": 110},
        model={"widths": [256, 32], "activation": activation},
        federation={
            "rounds": 6,
            "local": {
                "epochs": 2,
                "batch_size": 10,
                "optimizer": {"name": "sgd", "momentum": 0.9 if activation == "tanh" else 0.0},
                "learning_rate": 0.1 if activation == "tanh" else 0.02,
                "schedule": {},
            },
        },
        snapshots={"rounds": {"every": 1}},
        audit={"known_members": 10, "tested_members": 70, "tested_nonmembers": 70},
        adversaries=[adversary],
        attacks=["planted-neuron", "loss"],
        defences=list(defences),
    )
    return fedsim.run(tree, folder / "-".join((activation, *defences)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


def figures(run: Any) -> dict[str, float]:
    return {row.attack: row.auc.value for row in run.results.results if row.victim != "mean"}


@pytest.mark.parametrize(
    "how",
    [
        ("tanh",),
        ("relu",),
        ("tanh", "secure-aggregation"),
    ],
)
def test_who_was_trained_on_is_read_off_units_after_many_steps(
    folder: Path, how: tuple[str, ...]
) -> None:
    """22 local steps a round, for tanh with momentum that lives on."""
    found = figures(finished(folder, *how))
    assert found["planted-neuron"] > 0.85, found
    assert found["planted-neuron"] > found["loss"] + 0.25, found


def test_it_is_said_what_a_participant_could_notice(folder: Path) -> None:
    found = {f.title: f for f in finished(folder, "tanh").results.findings}
    rows = found["planted units"].rows
    assert [row[0] for row in rows] == [2, 3, 4, 5, 6]
    assert rows[0][1] == 0  # the round in which momentum dies away
    assert all(row[1] == row[2] == 40 for row in rows[1:])
    seen = found["units on which one audited record alone has a slope"]
    assert seen.figures["records with such a unit"] == 160
    honest, *_, last = seen.rows
    assert honest[1] == 0 < 40 == last[1]


def test_units_have_a_slope_for_their_record_only() -> None:
    torch.manual_seed(0)
    features = torch.randn(400, 100, dtype=torch.float64) + 1
    chosen = torch.tensor([3, 7, 250])
    for saturates in (False, True):
        layer = EntryLayer("linear1", "linear2", 8, 100, saturates)
        units = single_out(layer, features, chosen, 5)
        assert units.records == 3
        sums = features.float() @ units.weight.T + units.alive
        slope = layer.has_slope(sums)
        assert slope.sum(0).tolist() == [1, 1, 1, 0, 0]
        assert slope[chosen, torch.arange(3)].all()
        assert not layer.has_slope(features.float() @ units.weight.T + units.dead).any()


def test_equal_records_cannot_be_told_apart() -> None:
    features = torch.randn(50, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features[1] = features[0]
    units = single_out(EntryLayer("a", None, 8, 30, False), features, torch.tensor([0, 5]), 2)
    assert units.records == 1
    assert not units.weight[0].any()


def test_silent_units_change_nothing_behind_them() -> None:
    """In tanh they are at -1, which the biases behind make up for."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    features = torch.randn(80, 30, dtype=torch.float64)
    layer = entry_layer(model, features[:2].float(), "this")
    places = torch.tensor([1, 4])
    state = model.state_dict()
    state["2.weight"][:, places] = 0.0  # as if the honest units were not there
    model.load_state_dict(state)
    without = model(features.float()).detach()
    units = single_out(layer, features, torch.tensor([0, 1]), 2)
    pushed = replace(units, outgoing=torch.full((5, 2), 7.0))
    plant_units(state, layer, places, pushed, alive=True)
    model.load_state_dict(state)
    found = model(features.float()).detach()
    torch.testing.assert_close(found[2:], without[2:], rtol=1e-4, atol=1e-5)
    assert ((found[:2] - without[:2]).abs().max(1).values > 0.01).all()


def test_what_others_are_sent_and_the_aggregate_keep_the_honest_units(tmp_path: Path) -> None:
    """Outside of secure aggregation only the victim's message changes, and nothing of it stays."""
    tree = toys.tree(
        model={"widths": [30, 8]},
        snapshots={"rounds": [1, 2, 3, 4]},
        adversaries=[{"name": NAME, "units": 6, "first": 2}],
        attacks=["planted-neuron"],
    )
    run = RunDirectory(fedsim.run(tree, tmp_path / "run").path)
    seen = run.snapshots(NAME)
    sent, meant = (
        load_file(seen / f"round-00003.{kind}-0.safetensors") for kind in ("sent", "meant")
    )
    changed = (sent["linear1.weight"] != meant["linear1.weight"]).any(1)
    assert changed.sum() == 6
    upload = load_file(seen / "round-00003.participant-0.safetensors")
    after = load_file(seen / "round-00004.meant-0.safetensors")
    # The weights of tanh units that were planted are large; none is in what was aggregated.
    assert upload["linear1.weight"][changed].abs().max() > 3
    assert after["linear1.weight"].abs().max() < 2


def test_a_model_without_such_a_layer_is_refused_before_round_1(tmp_path: Path) -> None:
    tree = toys.tree(adversaries=[NAME], attacks=["planted-neuron"])
    tree["model"] = f"{__name__}:normalised"
    with pytest.raises(FedsimError, match="this model does not begin with one"):
        fedsim.run(tree, tmp_path / "run")


def test_more_units_than_the_layer_has_are_refused_before_round_1(tmp_path: Path) -> None:
    """Of a layer of 16 units, also where the first active round is a late one."""
    late = {"name": "planted-neuron-server", "units": 16, "first": 4}
    with pytest.raises(FedsimError, match="would plant 16 units, and the first layer has 16"):
        toys.simulated(tmp_path, adversaries=[late], attacks=["planted-neuron"])
    assert not list(tmp_path.rglob("history.json"))


def normalised() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.mark.parametrize("settings", [{"units": 1}, {"first": 0}, {"first": 3, "last": 2}])
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"units must be|active rounds"):
        PlantedNeuronServer(**settings)


def test_rounding_is_between_what_single_precision_gives_and_what_a_step_does() -> None:
    assert 6e-8 < ROUNDING < 1e-4
