"""One batch through a model and back, collecting what per-record gradients are made of.

Autograd is asked for the gradient at the *edge* that a layer's output had when it left the layer.
So an in-place activation behind the layer, which makes backward hooks return wrong values without
a word, changes nothing, and no parameter's ``.grad`` is touched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from fedsim.errors import FedsimError


class LayerTrace(NamedTuple):
    """What one layer did with one batch of N records.

    `inputs` (N, ...) is what the layer was given; `deltas` (N, ...) is the gradient of each
    record's loss with respect to what it returned.
    """

    inputs: Tensor
    deltas: Tensor


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode for one block, then give every module its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def backpropagate(
    model: nn.Module,
    inputs: Tensor,
    layers: Mapping[str, nn.Module],
    output_gradient: Callable[[Tensor], Tensor],
) -> tuple[Tensor, dict[str, LayerTrace]]:
    """Run one batch through `model` and back, and return every named layer's `LayerTrace`.

    Parameters
    ----------
    model
        A module that treats records independently in eval mode (which is enforced and restored).
    inputs
        N records, as the model takes them.
    layers
        The layers to watch, by name.
    output_gradient
        Given the model's output (N, C), the gradient of each record's loss with respect to it. A
        closed form keeps the digits that automatic differentiation loses for confident records.

    Returns
    -------
    (Tensor, dict of str to Trace)
        The model's output, detached, and the traces in the order of `layers`.

    Raises
    ------
    FedsimError
        If a layer is not used exactly once, its input was overwritten in place, or the output does
        not depend on it.
    """
    calls: dict[str, list[tuple[Tensor, int, GradientEdge]]] = {name: [] for name in layers}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], returned: Tensor) -> Tensor:
            leaf = not returned.requires_grad  # everything up to here is frozen
            source = returned.detach().requires_grad_() if leaf else returned
            calls[name].append((given[0].detach(), given[0]._version, get_gradient_edge(source)))
            return source.clone() if leaf else returned  # a leaf may not be altered in place

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        with evaluating(model), torch.enable_grad():
            output = model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    for name, seen in calls.items():
        if len(seen) != 1:
            raise FedsimError(
                f"layer '{name}' is used {len(seen)} times in one forward pass; per-record "
                "gradients exist for layers that are used once"
            )
    edges = [seen[0][2] for seen in calls.values()]
    deltas = torch.autograd.grad(
        output, edges, grad_outputs=output_gradient(output.detach()), allow_unused=True
    )
    traces = {}
    for (name, ((given, version, _),)), delta in zip(calls.items(), deltas, strict=True):
        if delta is None:
            raise FedsimError(f"the model's output does not depend on layer '{name}'")
        if given._version != version:
            raise FedsimError(
                f"the input of layer '{name}' is overwritten in place later in the forward pass; "
                "build the model with inplace=False behind it"
            )
        traces[name] = LayerTrace(given, delta)
    return output.detach(), traces
