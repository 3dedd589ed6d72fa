"""What cannot be trained is one sentence before round 1."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from torch import nn

from fedsim.errors import FedsimError
from fedsim.training.trial import require_usable_model


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ({"name": "sgd", "momentum": -0.5}, "'momentum' is -0.5.*greater than or equal to 0"),
        ({"name": "sgd", "momentum": 0.0, "nesterov": True}, "set momentum above 0"),
        ({"name": "sgd", "weight_decay": -1.0}, "'weight_decay' is -1.0"),
        ({"name": "adam", "beta1": 1.0}, "'beta1' is 1.0.*less than 1"),
        ({"name": "adam", "beta2": -0.1}, "'beta2' is -0.1"),
        ({"name": "adamw", "eps": -1.0}, "'eps' is -1.0"),
        ({"name": "adamw", "weight_decay": -1.0}, "'weight_decay' is -1.0"),
    ],
)
@pytest.mark.parametrize("stacked", [False, True])
def test_an_optimiser_out_of_range(
    tmp_path: Path, optimizer: dict[str, Any], told: str, stacked: bool
) -> None:
    federation = {"rounds": 4, "local": {"batch_size": 10, "optimizer": optimizer}}
    with pytest.raises(FedsimError, match=told):
        toys.simulated(tmp_path, federation=federation, engine={"stacked": stacked})


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return linear()


def frozen() -> nn.Module:
    return linear().requires_grad_(False)


def doubled() -> nn.Module:
    return linear().double()


def half() -> nn.Module:
    return linear().bfloat16()


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (half, r"0\.weight is bfloat16; parameters must be float32"),
        (doubled, r"0\.weight is float64"),
        (lazy, r"0\.weight has no shape yet"),
        (nn.Flatten, "no parameter that is trained"),
        (frozen, "no parameter that is trained"),
        (on_meta, r"0\.weight is on the meta device"),
    ],
)
def test_a_model_that_cannot_be_trained(model: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(FedsimError, match=told):
        require_usable_model(model(), "mine")


def test_an_ordinary_model_is_taken() -> None:
    require_usable_model(linear(), "mine")
    require_usable_model(linear()[:1].append(nn.BatchNorm1d(8)), "mine")


def pair(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    return nn.LSTM(input_shape[0], num_classes)


def narrow(num_classes: int) -> nn.Module:
    return nn.Linear(7, num_classes)


def few(input_shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(input_shape[0], 3)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("lazy", "has no shape yet"),
        ("on_meta", "on the meta device"),
        ("pair", "returns a tuple; it must return one tensor"),
        ("narrow", r"does not take records of shape \(12,\): RuntimeError"),
        ("few", "class numbers below 3"),
    ],
)
def test_a_model_that_does_not_fit_the_data(tmp_path: Path, model: str, told: str) -> None:
    with pytest.raises(FedsimError, match=told):
        toys.simulated(tmp_path, model=f"{__name__}:{model}")
    assert not list(tmp_path.rglob("*.safetensors"))
