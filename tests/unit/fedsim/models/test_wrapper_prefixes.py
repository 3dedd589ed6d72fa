"""Weights of a wrapped model are told from weights of another model."""

import pytest
import torch
from torch import nn

from fedsim.errors import SnapshotError
from fedsim.models.wrapper_prefixes import wrapper_hint
from fedsim.stages.preparation.external_weights import fitted


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def part_compiled() -> nn.Module:
    whole = net()
    whole[0] = torch.compile(whole[0])  # type: ignore[index]
    return whole


WRAPPED = {
    "_orig_mod.": lambda: torch.compile(net()),
    "module.": lambda: nn.DataParallel(net()),
    "'module.', which torch.nn.DataParallel and DistributedDataParallel adds and '_orig_mod.'": (
        lambda: nn.DataParallel(torch.compile(net()))  # type: ignore[arg-type]
    ),
    "'_orig_mod.', which torch.compile adds": part_compiled,
    "all its names begin with 'backbone.'": lambda: nn.ModuleDict({"backbone": net()}),
}


@pytest.mark.parametrize("said", WRAPPED)
def test_weights_of_a_wrapper_get_a_hint(said: str) -> None:
    wrapped = WRAPPED[said]()
    with pytest.raises(SnapshotError, match=r"does not fit the model Sequential: missing") as error:
        fitted(net(), wrapped.state_dict(), "weights.safetensors")
    assert said in str(error.value)


def test_opacus_is_told_too() -> None:
    opacus = pytest.importorskip("opacus")
    wrapped = opacus.GradSampleModule(net())
    with pytest.raises(SnapshotError, match=r"'_module\.', which Opacus adds"):
        fitted(net(), wrapped.state_dict(), "weights.safetensors")


def test_the_advice_can_be_followed() -> None:
    wrapped = nn.DataParallel(torch.compile(net()))  # type: ignore[arg-type]
    assert "model.module._orig_mod.state_dict()" in wrapper_hint(
        wrapped.state_dict(), net().state_dict()
    )
    inside = wrapped.module._orig_mod.state_dict()
    assert fitted(net(), inside, "weights.safetensors").keys() == net().state_dict().keys()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0.weight", "0.bias"], ["1.weight", "1.bias", "2.weight"]),
        (["module.fc.weight"], ["module.fc.bias"]),
        (["a.weight", "b.weight"], ["weight", "bias"]),
        ([], ["weight"]),
        (["weight"], []),
    ],
)
def test_another_model_gets_none(names: list[str], expected: list[str]) -> None:
    assert wrapper_hint(names, expected) == ""
