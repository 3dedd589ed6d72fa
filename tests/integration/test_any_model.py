"""Models that users bring, end to end: a federation, every attack that applies, a report.

Labels have nothing to do with features, so what a model fits it knows by heart: a planted leak that
attacks must find. Where the model hardly moves there is nothing to find, and the true
positive rate at 1 % false positives must be 1 %, within its interval.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import null_figures
import numpy as np
import pytest
import torch
import torchvision
import toys
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

import fedsim
from fedsim.data import Arrays
from fedsim.errors import FedsimError
from fedsim.report.result_schema import ResultRow
from fedsim.rundir import RunDirectory

HERE = "test_any_model"
RECORDS, CLASSES, VOCABULARY, LENGTH, SIDE = 420, 4, 30, 8, 8
MEMBERS, NONMEMBERS = 70, 110
ATTACKS: list[Any] = [
    "loss",
    "gradient-norm",
    "uncertainty",
    "scalar-logistic",
    {"name": "supervised", "training": {"folds": 2, "epochs": 8}},
    {
        "name": "supervised",
        "label": "black-box",
        "inputs": "black-box",
        "training": {"folds": 2, "epochs": 8},
    },
    "label",
    "gradient-alignment",
    "unsupervised",
]


def images() -> Arrays:
    random = np.random.default_rng(0)
    pixels = random.normal(size=(RECORDS, 3, SIDE, SIDE)).astype(np.float32)
    return Arrays(pixels, random.integers(CLASSES, size=RECORDS), num_classes=CLASSES)


def series() -> Arrays:
    random = np.random.default_rng(1)
    values = random.normal(size=(RECORDS, 2, 24)).astype(np.float32)
    return Arrays(values, random.integers(CLASSES, size=RECORDS), num_classes=CLASSES)


def tokens() -> Arrays:
    random = np.random.default_rng(2)
    found = random.integers(VOCABULARY, size=(RECORDS, LENGTH))
    return Arrays(found, random.integers(CLASSES, size=RECORDS), num_classes=CLASSES)


class Block(nn.Module):
    """A residual block with any normalisation of its channels."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, values: Tensor) -> Tensor:
        inner = self.norm2(self.second(self.act(self.norm1(self.first(values)))))
        inner += values
        return self.act(inner)


def residual(num_classes: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Block(16, norm), nn.Flatten(), nn.Linear(1024, num_classes)
    )


def group_norm(num_classes: int) -> nn.Module:
    return residual(num_classes, lambda channels: nn.GroupNorm(4, channels))


def layer_norm(num_classes: int) -> nn.Module:
    return residual(num_classes, lambda channels: nn.LayerNorm((channels, SIDE, SIDE)))


def batch_norm(num_classes: int) -> nn.Module:
    return residual(num_classes, nn.BatchNorm2d)


def convolution_1d(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 32, 5), nn.PReLU(32), nn.Flatten(), nn.Linear(640, num_classes)
    )


def no_linear(num_classes: int) -> nn.Module:
    """End in a convolution and a mean over the image."""
    return nn.Sequential(
        nn.Conv2d(3, 64, SIDE // 2),
        nn.ReLU(),
        nn.Conv2d(64, num_classes, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class Recurrent(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.lstm, self.head = nn.LSTM(16, 48, batch_first=True), nn.Linear(48, num_classes)

    def forward(self, given: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(given))[0][:, -1])


class Encoder(nn.Module):
    """A transformer encoder whose keys, values and head are read off its tied embedding."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 32)
        self.position = nn.Parameter(torch.zeros(LENGTH, 32))
        layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.words = nn.Linear(32, VOCABULARY, bias=False)
        self.words.weight = self.embedding.weight
        self.head = nn.Linear(VOCABULARY * LENGTH, num_classes)

    def forward(self, given: Tensor) -> Tensor:
        hidden = self.encoder(self.embedding(given) + self.position)
        return self.head(self.words(hidden).flatten(1))


def resnet10(num_classes: int) -> nn.Module:
    """Return a ResNet of one block a stage; a ResNet-18 is attacked in test_torchvision_model."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)  # type: ignore[no-any-return]


def vit(num_classes: int) -> nn.Module:
    return torchvision.models.VisionTransformer(  # type: ignore[no-any-return]
        image_size=SIDE,
        patch_size=4,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
        num_classes=num_classes,
    )


def softmax(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, num_classes), nn.Softmax(1))


MODELS = {
    "group_norm": ("images", 8),
    "layer_norm": ("images", 8),
    "batch_norm": ("images", 8),
    "convolution_1d": ("series", 25),
    "no_linear": ("images", 20),
    "Recurrent": ("tokens", 40),
    "Encoder": ("tokens", 30),
    "resnet10": ("images", 12),
    "vit": ("images", 40),
}
"""What each model is trained on, and for how many epochs in all."""


def audited(out: Path, model: str, epochs: int, rate: float) -> list[ResultRow]:
    """Run a federation and its audit, and return what each attack found."""
    experiment = toys.tree(
        data={"name": f"{HERE}:{MODELS[model][0]}", "test_records": 200},
        partition={"participants": 2, "records": 101},  # so that the last batch has one record
        federation={
            "rounds": 2,
            "local": {
                "batch_size": 20,
                "learning_rate": rate,
                "optimizer": "adam",
                "epochs": epochs // 2,
                "schedule": {},
                "drop_last": True,
            },
            "evaluation": {"every": 2},
        },
        snapshots={"rounds": [1, 2]},
        audit={
            "known_members": 30,
            "known_nonmembers": 30,
            "tested_members": MEMBERS,
            "tested_nonmembers": NONMEMBERS,
        },
        adversaries=["curious-server"],
        attacks=ATTACKS,
        metrics=["accuracy", "auc", "tpr@0.01"],
    )
    experiment["model"] = f"{HERE}:{model}"
    run = fedsim.run(experiment, out)
    assert RunDirectory(run.path).report.is_file()
    return [row for row in run.results.results if row.victim != "mean"]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_planted_leak_is_found(tmp_path: Path, model: str) -> None:
    rows = audited(tmp_path / "run", model, MODELS[model][1], 0.003)
    found = {row.attack: row.auc.value for row in rows}
    for attack in ("loss", "gradient-norm", "black-box", "scalar-logistic", "supervised"):
        assert found[attack] > 0.75, attack
    assert found["unsupervised"] > 0.75
    assert found["gradient-alignment"] > 0.55
    assert found["uncertainty"] > 0.55


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_where_nothing_was_learned_nothing_is_found(tmp_path: Path, model: str) -> None:
    # A step of any length would tell: its direction is that of the members' gradients. With 1e-30,
    # what begins at zero, as biases do, still has it; 1e-60 is no step in single precision.
    for row in audited(tmp_path / "run", model, 2, 1e-60):
        null_figures.require_nothing(row, MEMBERS, NONMEMBERS)


def test_a_model_that_ends_in_softmax_is_refused_before_round_1(tmp_path: Path) -> None:
    MODELS["softmax"] = ("images", 2)
    with pytest.raises(FedsimError, match="outputs are probabilities: every row sums to 1; leave"):
        audited(tmp_path / "run", "softmax", 2, 0.003)
    assert not list(tmp_path.rglob("*.parquet"))
