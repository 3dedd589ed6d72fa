"""Gradients by rules: what a layer without a rule, a weight or a parameter is refused with."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from adversaries.inference.backward import LayerTrace
from adversaries.inference.rule_gradients import (
    converted_trace,
    rule_factors,
    rule_gradients,
    rule_squared_norm,
    summed_squares,
    weight_matrix,
)
from fedsim.errors import FedsimError

NO_RULE = r"^layer 'body' has no gradient rule for this batch$"


def batch(records: int = 3) -> Any:
    """Return what a backward pass over some records leaves."""
    return SimpleNamespace(inputs=torch.zeros(records, 2), scale=torch.full((records,), 2.0))


def own(layer: nn.Module) -> dict[str, nn.Parameter]:
    return dict(layer.named_parameters(recurse=False))


def test_a_layer_that_was_not_called_has_no_gradient() -> None:
    layer = nn.Linear(2, 2)
    assert rule_squared_norm("body", layer, own(layer), (), batch()).tolist() == [0.0, 0.0, 0.0]


def test_calls_that_do_not_have_a_row_per_record() -> None:
    layer = nn.Linear(2, 2)
    traces = [LayerTrace(torch.ones(2, 2), torch.ones(3, 2))] * 2
    assert rule_gradients(layer, own(layer), traces, 3) is None
    with pytest.raises(FedsimError, match=NO_RULE):
        rule_squared_norm("body", layer, own(layer), traces, batch())
    with pytest.raises(FedsimError, match=NO_RULE):
        rule_factors("body", layer, own(layer), traces, batch())


def test_two_calls_of_a_linear_layer_are_summed_by_hand() -> None:
    layer = nn.Linear(2, 1)
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    deltas = torch.tensor([[1.0], [2.0], [5.0]])
    traces = [LayerTrace(inputs, deltas), LayerTrace(inputs, deltas)]
    # Per call, the weight's gradient is delta times input, and the bias's is delta.
    squared = rule_squared_norm("body", layer, own(layer), traces, batch())
    assert squared.tolist() == [4 * (1 + 4 + 1), 4 * (36 + 64 + 4), 4 * 25]
    factors = rule_factors("body", layer, own(layer), traces, batch())
    (matrix,) = factors.parts.values()
    assert matrix.squeeze(1).tolist() == [[4.0, 8.0], [24.0, 32.0], [0.0, 0.0]]


@pytest.mark.parametrize("found", [{}, {"weight": torch.zeros(3, 4)}])
def test_no_weight_of_two_axes_is_no_matrix(found: dict[str, torch.Tensor]) -> None:
    with pytest.raises(FedsimError) as error:
        weight_matrix(nn.LayerNorm(4), found)
    assert str(error.value) == (
        "the gradients of a LayerNorm cannot be attacked as a matrix; name layers with one weight "
        "of two or more axes (Linear, convolutions, Embedding)"
    )


def test_no_parameter_has_no_norm() -> None:
    with pytest.raises(FedsimError, match=r"^a layer without parameters has no gradient$"):
        summed_squares([])
    assert summed_squares([torch.ones(2, 3), 2 * torch.ones(2, 1)]).tolist() == [7.0, 7.0]


def test_token_ids_keep_their_type() -> None:
    trace = LayerTrace(torch.tensor([[1, 2]]), torch.ones(1, 2))
    found = converted_trace(trace, torch.float64)
    assert (found.inputs.dtype, found.deltas.dtype) == (torch.int64, torch.float64)
