"""Gradients, norms and factors of one layer by its closed-form rule, summed over its calls."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adversaries.inference.backward import BatchPass, LayerTrace
from adversaries.inference.factored_gradients import MATRIX, FactoredGradients, compact
from adversaries.inference.gradient_rules import (
    RuleDoesNotApplyError,
    gradients,
    squared_norms,
)
from adversaries.inference.layer_parameters import Own
from fedsim.errors import FedsimError


def rule_gradients(
    layer: nn.Module,
    own: Own,
    traces: Sequence[LayerTrace],
    count: int,
    rows: slice = slice(None),
) -> dict[str, Tensor] | None:
    """Return the gradients of a layer's own parameters, summed over its calls.

    Parameters
    ----------
    layer, own
        The layer, and the names of the parameters whose gradients are wanted.
    traces
        The layer's input in each call, and the gradient of its output.
    count
        The number of records in the batch.
    rows
        The records whose gradients are wanted.

    Returns
    -------
    By parameter, (rows, ...); None if no rule applies.
    """
    if not has_row_per_record(traces, count):
        return None
    total = {
        local: parameter.new_zeros(len(range(count)[rows]), *parameter.shape)
        for local, parameter in own.items()
    }
    try:
        for trace in traces:
            found = gradients(layer, trace.inputs[rows], trace.deltas[rows])
            total = {local: total[local] + found[local] for local in own}
    except RuleDoesNotApplyError:
        return None
    return total


def rule_squared_norm(
    name: str, layer: nn.Module, own: Own, traces: Sequence[LayerTrace], done: BatchPass
) -> Tensor:
    """Return the squared gradient norm (N,) of a layer, not scaled by `done.scale`.

    Raises
    ------
    FedsimError
        If the rule does not apply, though it did for the batch on which it was tried.
    """
    count = len(done.inputs)
    if not traces:
        return done.scale.new_zeros(count)
    whole = {*own} == {*dict(layer.named_parameters(recurse=False))}
    if len(traces) == 1 and whole:
        return squared_norms(layer, *traces[0]).detach()
    found = rule_gradients(layer, own, traces, count)
    if found is None:
        raise _no_rule(name)
    return summed_squares([found[local] for local in own])


def rule_factors(
    name: str, layer: nn.Module, own: Own, traces: Sequence[LayerTrace], done: BatchPass
) -> FactoredGradients:
    """Return the weight gradients of a layer as factors where it has them, else as a matrix.

    Raises
    ------
    FedsimError
        If the rule does not apply, though it did for the batch on which it was tried.
    """
    scaled = [
        LayerTrace(t.inputs, t.deltas * done.scale.view(-1, *[1] * (t.deltas.dim() - 1)))
        for t in traces
    ]
    if len(scaled) == 1 and _is_factored(layer):
        found = compact(layer, *scaled[0])
        return FactoredGradients(
            {part: _kept(values) for part, values in found.parts.items()}, found.unfolding
        )
    summed = rule_gradients(layer, own, scaled, len(done.inputs))
    if summed is None:
        raise _no_rule(name)
    return weight_matrix(layer, summed)


def weight_matrix(layer: nn.Module, found: Mapping[str, Tensor]) -> FactoredGradients:
    """Return the gradient of a layer's weight as a matrix (N, rows, columns).

    Raises
    ------
    FedsimError
        If the layer has no single weight of two or more axes.
    """
    weight = found.get("weight")
    if weight is None or weight.dim() < 3:
        raise FedsimError(
            f"the gradients of a {type(layer).__name__} cannot be attacked as a matrix; name "
            "layers with one weight of two or more axes (Linear, convolutions, Embedding)"
        )
    return FactoredGradients({MATRIX: _kept(weight.flatten(2))})


def summed_squares(gradients_: Sequence[Tensor]) -> Tensor:
    """Return the squared norm (N,) of gradients (N, ...) of several parameters."""
    total = sum(gradient.detach().flatten(1).square().sum(1) for gradient in gradients_)
    if not isinstance(total, Tensor):
        raise FedsimError("a layer without parameters has no gradient")
    return total


def has_row_per_record(traces: Sequence[LayerTrace], count: int) -> bool:
    """Return whether all that a layer was given and returned has a row for each record."""
    return all(len(side) == count for trace in traces for side in trace if side.dim()) and all(
        side.dim() for trace in traces for side in trace
    )


def converted_trace(trace: LayerTrace, kind: torch.dtype) -> LayerTrace:
    """Return a trace with its floating-point numbers in another precision."""
    return LayerTrace(*(side.to(kind) if side.is_floating_point() else side for side in trace))


def _is_factored(layer: nn.Module) -> bool:
    """Return whether `compact` knows the type of a layer."""
    return compact.dispatch(type(layer)) is not compact.dispatch(nn.Module)


def _kept(values: Tensor) -> Tensor:
    return values.detach().float().cpu()


def _no_rule(name: str) -> FedsimError:
    return FedsimError(f"layer '{name}' has no gradient rule for this batch")
