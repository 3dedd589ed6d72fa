"""What an attack declares is what is extracted: by feature, and in passes over the records."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adversaries.inference.extraction import extract
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.input_selection import PRESETS, InputSettings
from adversaries.inference.model_layers import EXAMPLES
from adversaries.inference.needed_features import needed_features
from fedsim.errors import PluginError
from fedsim.observation.needs import FEATURES, Needs

RECORDS = np.arange(7)
INPUTS = torch.randn(7, 6, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(7) % 3


class Counting(nn.Module):
    """A model of two layers that notes each forward pass: how many records, and for gradients?"""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
        self.passes: list[tuple[int, bool]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes.append((len(inputs), torch.is_grad_enabled()))
        outputs: Tensor = self.head(self.body(inputs).relu())
        return outputs


def batch(records: Any) -> tuple[Tensor, Tensor]:
    return INPUTS[records], LABELS[records]


def extracted(needs: Needs) -> tuple[Any, list[tuple[int, bool]]]:
    """Return the features, and the passes over all records; the examples are tried before them."""
    torch.manual_seed(0)
    model = Counting()
    found = extract(model, batch, RECORDS, needed_features(needs))
    assert all(count <= EXAMPLES for count, _ in model.passes[:-1])
    return found, [one for one in model.passes if one[0] == len(RECORDS)]


def test_outputs_alone_take_one_forward_pass_and_nothing_else() -> None:
    torch.manual_seed(0)
    model = Counting()
    found = extract(model, batch, RECORDS, needed_features(Needs(outputs=True)))
    assert model.passes == [(EXAMPLES, False), (len(RECORDS), False)]
    with torch.no_grad():
        np.testing.assert_array_equal(found.logits, model(INPUTS).numpy())
    for absent in (found.hidden, found.deltas, found.gradient_norms, found.log_gradient_norms):
        assert absent.shape[1] == 0
    assert not found.outputs
    assert not found.gradients
    assert not found.layers
    assert "log gradient norm" not in found.scalar_names


@pytest.mark.parametrize(
    ("needs", "there", "backward"),
    [
        (Needs(scalars=True), set(), False),
        (Needs(outputs=True), {"logits"}, False),
        (Needs(last_layer_norms=True), {"last-layer scalars"}, False),
        (Needs(last_layer=True), {"last-layer scalars", "hidden", "deltas"}, False),
        (Needs(layer_outputs=("body",)), {"outputs"}, False),
        (Needs(gradient_norms="all"), {"norms of 2"}, True),
        (Needs(gradient_norms=("body",)), {"norms of 1"}, True),
        (Needs(gradients=("body",)), {"gradients"}, True),
        (Needs(update_alignment=True), set(), False),
    ],
)
def test_each_feature_brings_itself_and_no_other(
    needs: Needs, there: set[str], backward: bool
) -> None:
    found, passes = extracted(needs)
    assert passes == [(len(RECORDS), backward)]
    columns = {name: getattr(found, name).shape[1] for name in ("logits", "hidden", "deltas")}
    seen = {name for name, width in columns.items() if width}
    seen |= {"last-layer scalars"} if "log gradient norm" in found.scalar_names else set()
    seen |= {"outputs"} if set(found.outputs) == {"body"} else set()
    seen |= {f"norms of {len(found.layers)}"} if found.layers else set()
    seen |= {"gradients"} if set(found.gradients) == {"body"} else set()
    assert seen == there


def test_every_feature_that_can_be_declared_is_in_the_map() -> None:
    """But for alignments, which are of two snapshots, and the loss, which is always there."""
    nothing = needed_features(Needs())
    assert nothing == FeatureSpec(output=False, last_layer_gradient=False, gradient_norms=())
    given: dict[str, Any] = {"layer_outputs": ("a",), "gradient_norms": "all", "gradients": ("a",)}
    for name in FEATURES:
        needs = Needs(**{name: given.get(name, True)})
        assert needs.reads_features
        alike = name in ("scalars", "update_alignment")
        assert (needed_features(needs) == nothing) == alike, name


def test_inputs_are_extracted_as_they_declare() -> None:
    two_layers = InputSettings(outputs=(-1, -2), gradients=(-2,), loss=True)
    for settings in (PRESETS["black-box"], PRESETS["white-box-gradients"], two_layers):
        chosen = settings.resolved(Counting())
        declared, resolved = settings.needs, chosen.needs
        assert declared.outputs == resolved.outputs
        assert declared.last_layer == resolved.last_layer
        assert declared.last_layer_norms == resolved.last_layer_norms
        assert declared.scalars == resolved.scalars
        places = {"body": -2, "head": -1}
        norms = resolved.gradient_norms
        named = norms if norms == "all" else tuple(places[str(name)] for name in norms)
        assert declared.gradient_norms == named
        assert chosen.spec("head") == needed_features(resolved, "head")


def test_a_layer_by_its_place_is_refused() -> None:
    with pytest.raises(PluginError, match="needs name layer -2, a place"):
        needed_features(Needs(gradients=(-2,)))
