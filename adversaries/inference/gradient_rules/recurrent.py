"""Recurrent layers: at each step two linear layers, one on the input and one on the last state.

PyTorch runs all steps in one call, so the deltas at the gates are not seen from outside. The rule
runs the layer again, step by step for the whole batch, and asks autograd for the gradient at what
the two matrices gave. With these deltas each matrix is a linear layer at as many positions as there
are steps: backpropagation through time for all records at once.

The equations are those of PyTorch's documentation of `nn.LSTM`, `nn.GRU` and `nn.RNN`. An initial
state, a projection (``proj_size``) and packed sequences have no rule.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import (
    RuleDoesNotApplyError,
    gradients,
    norms_over_positions,
    record_axes,
    squared_norms,
)

_FLOATS_A_PASS = 2**24  # of the gates of one pass
_GATES = 4  # the most that there are


class _GateGradients(NamedTuple):
    """What the two matrices of one layer and direction did at T steps of N records."""

    suffix: str
    inputs: Tensor  # (N, T, width)
    states: Tensor  # (N, T, hidden), before each step
    of_inputs: Tensor  # (N, T, gates): the deltas of what the first gave
    of_states: Tensor  # (N, T, gates): of the second


@record_axes.register
def _(layer: nn.RNNBase) -> tuple[int, ...]:
    return (0 if layer.batch_first else 1, 1, 1)[: 3 if layer.mode == "LSTM" else 2]


@gradients.register
def _(layer: nn.RNNBase, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {}
    for some in _some_records(layer, inputs, deltas):
        for made in some:
            for side, delta, given in (
                ("ih", made.of_inputs, made.inputs),
                ("hh", made.of_states, made.states),
            ):
                found.setdefault(f"weight_{side}_{made.suffix}", []).append(delta.mT @ given)
                if layer.bias:
                    found.setdefault(f"bias_{side}_{made.suffix}", []).append(delta.sum(1))
    return {name: torch.cat(parts) for name, parts in found.items()}


@squared_norms.register
def _(layer: nn.RNNBase, inputs: Tensor, deltas: Tensor) -> Tensor:
    norms = []
    for some in _some_records(layer, inputs, deltas):
        total = deltas.new_zeros(len(some[0].inputs))
        for made in some:
            for given, delta in ((made.inputs, made.of_inputs), (made.states, made.of_states)):
                total = total + norms_over_positions(given.mT, delta.mT, layer.bias)
        norms.append(total)
    return torch.cat(norms)


def _some_records(
    layer: nn.RNNBase, inputs: Tensor, deltas: Tensor
) -> Iterator[tuple[_GateGradients, ...]]:
    """Yield what the matrices did with some of the records at a time.

    `inputs` is (N, T, width); `deltas` (N, ...) is of all that the layer returned, flattened.
    """
    if inputs.dim() != 3 or layer.proj_size:
        raise RuleDoesNotApplyError("a recurrent layer with a projection, or of one sequence alone")
    directions = 2 if layer.bidirectional else 1
    gates = _GATES * layer.hidden_size * layer.num_layers * directions
    records = max(1, _FLOATS_A_PASS // max(inputs.shape[1] * gates, 1))
    for start in range(0, len(inputs), records):
        yield _matrices(layer, inputs[start : start + records], deltas[start : start + records])


def _matrices(layer: nn.RNNBase, inputs: Tensor, deltas: Tensor) -> tuple[_GateGradients, ...]:
    """Run a layer step by step, and go back from what it returned to its gates."""
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    ran: list[_Direction] = []
    with torch.enable_grad():
        for level in range(layer.num_layers):
            both = [_Direction(layer, f"l{level}{end}", inputs) for end in directions]
            inputs = torch.cat([one.outputs for one in both], 2)
            ran += both
        last = zip(*(one.last for one in ran), strict=True)
        returned = [inputs, *(torch.stack(states, 1) for states in last)]
        flat = torch.cat([part.flatten(1) for part in returned], 1)
        wanted = [part for one in ran for part in (one.of_inputs, *one.of_states)]
        found = iter(torch.autograd.grad(flat, wanted, grad_outputs=deltas))
    return tuple(
        _GateGradients(
            one.suffix,
            one.inputs.detach(),
            torch.stack(one.states, 1).detach(),
            next(found),
            torch.stack([next(found) for _ in one.of_states], 1),
        )
        for one in ran
    )


class _Direction:
    """One level of a recurrent layer in one direction, run over inputs (N, T, width).

    Attributes
    ----------
    outputs : (N, T, hidden), in the order of the steps of the input
    last : the state at the end, and an LSTM's cell beside it, (N, hidden) each
    inputs, states : what the matrices were given, in the order in which they ran
    of_inputs, of_states : what they gave; one tensor (N, T, gates), and T of them (N, gates)
    """

    def __init__(self, layer: nn.RNNBase, suffix: str, inputs: Tensor) -> None:
        def own(name: str) -> Tensor:
            parameter: Tensor = getattr(layer, f"{name}_{suffix}")
            return parameter.detach().to(inputs.dtype)

        backwards = suffix.endswith("_reverse")
        self.suffix, self.inputs = suffix, inputs.flip(1) if backwards else inputs
        biases = (own("bias_ih"), own("bias_hh")) if layer.bias else (None, None)
        self.of_inputs = _linear(self.inputs, own("weight_ih"), biases[0])
        self.states: list[Tensor] = []
        self.of_states: list[Tensor] = []
        hidden = inputs.new_zeros(len(inputs), layer.hidden_size)
        cell, outputs, recurrent = torch.zeros_like(hidden), [], own("weight_hh")
        for of_input in self.of_inputs.unbind(1):
            of_state = _linear(hidden, recurrent, biases[1])
            self.states.append(hidden)
            self.of_states.append(of_state)
            hidden, cell = _step(layer.mode, of_input, of_state, hidden, cell)
            outputs.append(hidden)
        self.last = (hidden, cell) if layer.mode == "LSTM" else (hidden,)
        self.outputs = torch.stack(outputs[::-1] if backwards else outputs, 1)


def _linear(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a product whose gradient can be asked for, wherever its values come from."""
    found = nn.functional.linear(values, weight, bias)
    return found if found.requires_grad else found.requires_grad_()


def _step(
    mode: str, of_input: Tensor, of_state: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the next state and cell (N, hidden); a layer that has no cell leaves it."""
    if mode == "LSTM":
        enter, forget, new, leave = (of_input + of_state).chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return leave.sigmoid() * cell.tanh(), cell
    if mode == "GRU":
        (reset, update, new), (reset_h, update_h, new_h) = (
            of_input.chunk(3, 1),
            of_state.chunk(3, 1),
        )
        new = (new + (reset + reset_h).sigmoid() * new_h).tanh()
        return new + (update + update_h).sigmoid() * (hidden - new), cell
    gates = of_input + of_state
    return (gates.tanh() if mode == "RNN_TANH" else gates.relu()), cell
