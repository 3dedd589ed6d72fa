"""Target models: their layers, and that their parameters come from the seed alone."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedsim.errors import PluginError
from fedsim.models import alexnet, build_model, fully_connected


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_alexnet_is_the_papers() -> None:
    model = alexnet(num_classes=100)
    weights = {name: tuple(p.shape) for name, p in model.named_parameters() if "weight" in name}
    assert weights == {
        "conv1.weight": (64, 3, 11, 11),
        "conv2.weight": (192, 64, 5, 5),
        "conv3.weight": (384, 192, 3, 3),
        "conv4.weight": (256, 384, 3, 3),
        "conv5.weight": (256, 256, 3, 3),
        "classifier.weight": (100, 256),
    }
    assert parameters(model) == 2_495_396
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


def test_alexnets_convolutions_keep_the_variance_of_their_input() -> None:
    torch.manual_seed(0)
    model = alexnet(num_classes=10, input_shape=(1, 32, 32))
    for name, layer in model.named_children():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name
            assert layer.bias is not None
            assert not layer.bias.any()


@pytest.mark.parametrize("shape", [(3, 28, 28), (32, 32), (3072,)])
def test_alexnet_takes_images_of_32x32_only(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes images of \(channels, 32, 32\), not \("):
        alexnet(10, shape)


def test_the_papers_networks() -> None:
    purchase = fully_connected(100, (600,))
    assert [tuple(p.shape) for n, p in purchase.named_parameters() if "weight" in n] == [
        (1024, 600),
        (512, 1024),
        (256, 512),
        (128, 256),
        (100, 128),
    ]
    assert [type(layer) for layer in purchase][:3] == [nn.Flatten, nn.Linear, nn.Tanh]
    assert parameters(purchase) == 600 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 100 + (
        1024 + 512 + 256 + 128 + 100
    )


def test_a_fully_connected_network_flattens_images() -> None:
    model = fully_connected(5, (3, 4, 4), widths=(7,), activation="relu")
    assert list(dict(model.named_children())) == ["flatten", "linear1", "relu1", "classifier"]
    assert model(torch.zeros(2, 3, 4, 4)).shape == (2, 5)
    assert fully_connected(5, (3,), widths=())(torch.zeros(2, 3)).shape == (2, 5)


def built(seed: int, **settings: Any) -> dict[str, torch.Tensor]:
    shape = {"input_shape": (6,), "num_classes": 3}
    return build_model(
        "fully-connected", {"widths": [4], **settings}, **shape, seed=seed
    ).state_dict()


def test_parameters_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = built(7)
    torch.manual_seed(2)
    undisturbed = torch.rand(())
    torch.manual_seed(2)
    second = built(7)
    assert torch.rand(()) == undisturbed
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["linear1.weight"], built(8)["linear1.weight"])


def from_global_state(num_classes: int) -> nn.Module:
    model = nn.Linear(1, num_classes)
    nn.init.constant_(model.weight, random.random() + np.random.random())  # noqa: NPY002
    return model


def test_a_third_parties_factory_may_draw_from_global_state() -> None:
    def weight(seed: int) -> float:
        name = f"{__name__}:from_global_state"
        return build_model(name, {}, input_shape=(1,), num_classes=2, seed=seed).weight[0, 0].item()

    assert weight(1) == weight(1) != weight(2)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        (
            "fully-connected",
            {"widths": [0]},
            "setting 'widths.0' is 0: Input should be greater than 0",
        ),
        ("fully-connected", {"activation": "gelu"}, "'gelu': Input should be 'tanh' or 'relu'"),
        ("alexnet", {}, "alexnet takes images"),
        ("builtins:dict", {}, "cannot read the settings"),
        (f"{__name__}:not_a_model", {}, "gave a int; a factory must return a torch.nn.Module"),
    ],
)
def test_a_model_that_cannot_be_built_is_one_sentence(
    name: str, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(PluginError) as error:
        build_model(name, settings, input_shape=(6,), num_classes=3, seed=0)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def not_a_model() -> int:
    return 3
