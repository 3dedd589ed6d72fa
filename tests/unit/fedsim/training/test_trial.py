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


class Greedy(nn.Linear):
    """Asks the allocator for a petabyte when it trains."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            torch.ones(1 << 48)
        return super().forward(inputs)


def greedy(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    return Greedy(input_shape[0], num_classes)


def few(input_shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(input_shape[0], 3)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("lazy", "has no shape yet"),
        ("on_meta", "on the meta device"),
        ("pair", "returns a tuple; it must return one tensor"),
        ("narrow", r"does not take records of shape \(12,\): mat1 and mat2"),
        ("few", "class numbers below 3"),
        (
            {"name": "fully-connected", "input_shape": [7]},
            r"mat1 .*; model.input_shape is given as \[7\], and is \[12\] by the data: leave",
        ),
        (
            {"name": "fully-connected", "num_classes": 2},
            "; model.num_classes is given as 2, and is 4 by the data: leave it out",
        ),
        (
            {"name": "fully-connected", "widths": [1_000_000, 1_000_000]},
            r"has 4,0\d\d\.\d GB of parameters, and training takes 3 times .* smaller by widths",
        ),
        ("greedy", "cannot be trained, as this machine has too little memory for it"),
    ],
)
def test_a_model_that_does_not_fit_the_data(
    tmp_path: Path, model: str | dict[str, Any], told: str
) -> None:
    chosen = f"{__name__}:{model}" if isinstance(model, str) else model
    with pytest.raises(FedsimError, match=told):
        toys.simulated(tmp_path, model=chosen)
    assert not list(tmp_path.rglob("*.safetensors"))


def broken_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    raise KeyError("weights")


def no_loss(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("broken_loss", r"failed: KeyError: 'weights' \(.*test_trial\.py, line \d+\)$"),
        ("no_loss", "returned a float; it must return a tensor, one value or one per record"),
    ],
)
def test_a_loss_of_ones_own_that_cannot_be_used_is_named(
    tmp_path: Path, loss: str, told: str
) -> None:
    trainer = {"name": "sgd", "loss": f"{__name__}:{loss}"}
    with pytest.raises(FedsimError, match=rf"trainer: loss {__name__}:{loss} {told}"):
        toys.simulated(tmp_path, federation={"rounds": 4, "local": {"trainer": trainer}})


def loud(factor: float = 1.0, widths: tuple[int, ...] = ()) -> nn.Module:
    model = linear()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(factor)
    return model


def test_a_model_that_overflows_before_training_is_told_with_its_settings(tmp_path: Path) -> None:
    told = r"not finite before it is trained; check its settings \(.*factor = 1e\+30"
    with pytest.raises(FedsimError, match=told):
        toys.simulated(tmp_path, model={"name": f"{__name__}:loud", "factor": 1e30})
