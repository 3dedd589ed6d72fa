"""How convolutions are computed is chosen once, recorded, and changes the last digits only."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
import yaml
from safetensors.numpy import load_file
from torch import nn

from fedsim.config.loading import read_experiment
from fedsim.data import Arrays
from fedsim.errors import ConfigError
from fedsim.models.row_convolution import RowConv2d
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup

SMALL = ["conv2"]
MOMENTUM = {"local": {"batch_size": 10, "optimizer": {"name": "sgd", "momentum": 0.9}}}


def images(records: int = 240) -> Arrays:
    random = np.random.default_rng(0)
    labels = random.integers(4, size=records)
    pixels = random.normal(size=(records, 3, 4, 4)) + labels[:, None, None, None]
    return Arrays(pixels.astype(np.float32), labels, num_classes=4)


def network(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return one whose second convolution works on maps of 2 x 2."""
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(input_shape[0], 64, 3, padding=1),
        relu1=nn.ReLU(inplace=True),
        pool=nn.MaxPool2d(2),
        conv2=nn.Conv2d(64, 64, 3, padding=1),
        relu2=nn.ReLU(inplace=True),
        flatten=nn.Flatten(),
        classifier=nn.Linear(256, num_classes),
    )
    return nn.Sequential(layers)


def sections(engine: dict[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    return {
        "data": {"name": "test_convolution_choice:images", "test_records": 60},
        "model": "test_convolution_choice:network",
        "federation": MOMENTUM,
        "engine": {"name": "local", **(engine or {})},
        **others,
    }


def setup(engine: dict[str, Any] | None = None, **others: Any) -> Setup:
    return build_setup(toys.experiment(**sections(engine, **others)), None, SILENCE)


def test_the_choice_is_made_by_shapes_and_recorded() -> None:
    chosen = setup()
    engine = chosen.experiment.engine
    assert (list(engine.small_convolutions), engine.channels_last) == (SMALL, False)
    assert isinstance(chosen.participants.new_model().conv2, RowConv2d)
    assert type(chosen.participants.new_model().conv1) is nn.Conv2d
    assert type(chosen.new_model().conv2) is nn.Conv2d  # parameters begin and travel as torch's
    written = yaml.safe_load(chosen.experiment.resolved())["engine"]
    assert (written["small_convolutions"], written["channels_last"]) == (SMALL, False)


def test_it_can_be_switched_off_or_said() -> None:
    off = setup({"small_convolutions": [], "channels_last": True})
    assert off.experiment.engine.small_convolutions == ()
    model = off.participants.new_model()
    assert type(model.conv2) is nn.Conv2d
    assert model.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    both = setup({"small_convolutions": ["conv1", "conv2"]})
    assert isinstance(both.participants.new_model().conv1, RowConv2d)
    for wrong in (True, [1], "conv1"):
        with pytest.raises(ConfigError, match=r"small_convolutions is .*: it must be auto, or a"):
            toys.experiment(engine={"small_convolutions": wrong})
    with pytest.raises(ConfigError, match=r"engine.small_convolutions names 'classifier'"):
        setup({"small_convolutions": ["classifier"]})


def test_other_trainers_and_precisions_keep_torchs_way() -> None:
    half = {"local": {**MOMENTUM["local"], "precision": "bf16"}}
    assert setup(federation=half).experiment.engine.small_convolutions == ()
    assert build_setup(toys.experiment(), None, SILENCE).experiment.engine.small_convolutions == ()


def parameters(run: RunDirectory) -> dict[str, np.ndarray]:
    (last,) = run.path.glob("snapshots/curious-server/round-00004.participant-0.safetensors")
    return load_file(last)


def test_final_parameters_are_those_of_torchs_convolutions(tmp_path: Path) -> None:
    by_rows = parameters(toys.simulated(tmp_path / "rows", **sections()))
    for name, engine in (
        ("torch", {"small_convolutions": [], "channels_last": False}),
        ("last", {"small_convolutions": [], "channels_last": True}),
    ):
        for key, value in parameters(toys.simulated(tmp_path / name, **sections(engine))).items():
            np.testing.assert_allclose(by_rows[key], value, atol=1e-4)
            if name == "torch" and key == "conv2.weight":
                assert not np.array_equal(by_rows[key], value)  # the other way was taken


@pytest.mark.parametrize("engine", [{}, {"channels_last": True}], ids=["rows", "channels last"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, engine: dict[str, Any]) -> None:
    """Momentum too, which lies in memory as its parameter does."""
    whole = toys.simulated(tmp_path / "whole", **sections(engine))
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", watcher=toys.Stopping(2), **sections(engine))
    assert toys.content_of(toys.simulated(tmp_path / "cut", **sections(engine))) == (
        toys.content_of(whole)
    )


def test_a_resolved_experiment_keeps_its_choice(tmp_path: Path) -> None:
    path = tmp_path / "resolved.yaml"
    path.write_text(setup().experiment.resolved())
    assert read_experiment(path).engine.small_convolutions == tuple(SMALL)
