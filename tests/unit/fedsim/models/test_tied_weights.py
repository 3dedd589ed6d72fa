"""Tied parameters are read from files that hold them once, as safetensors writes them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_model
from torch import nn

from fedsim.errors import SnapshotError
from fedsim.models.tied_weights import add_tied_names, tied_names
from fedsim.stages.preparation.external_weights import fitted


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.ones(3))
        self.empty = nn.Parameter(torch.zeros(0))


def test_a_file_of_save_model_fits_the_model(tmp_path: Path) -> None:
    model = Tied()
    assert tied_names(model) == (("first.weight", "second.weight"),)
    save_model(model, str(tmp_path / "w.safetensors"))
    state = load_file(tmp_path / "w.safetensors")
    assert len(state) == len(model.state_dict()) - 1
    found = fitted(Tied(), state, "w")
    assert found.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(found[name], value)


def test_different_values_of_one_parameter_are_refused() -> None:
    state = {name: value.clone() for name, value in Tied().state_dict().items()}
    assert add_tied_names(Tied(), state, "w").keys() == state.keys()
    state["second.weight"] += 1
    with pytest.raises(SnapshotError, match=r"w has different values for 'first\.weight' and"):
        add_tied_names(Tied(), state, "w")


def test_what_is_missing_altogether_is_still_told() -> None:
    with pytest.raises(SnapshotError, match=r"missing empty, first.bias, first.weight, scale"):
        fitted(Tied(), {}, "w")
