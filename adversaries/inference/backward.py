"""One batch through a model and back, collecting what per-record gradients are made of.

Autograd is asked for the gradient at the *edge* that a layer's output had when it left the layer.
So an in-place activation behind the layer, which makes backward hooks return wrong values without
a word, changes nothing, and no parameter's ``.grad`` is touched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from adversaries.inference.model_layers import evaluating, first_tensor


class LayerTrace(NamedTuple):
    """What one layer did with one batch of N records in one call.

    `inputs` (N, ...) is what the layer was given; `deltas` (N, ...) is the gradient of each
    record's loss with respect to what it returned.
    """

    inputs: Tensor
    deltas: Tensor


class _LayerCall(NamedTuple):
    inputs: Tensor
    version: int
    edge: GradientEdge


class LayerWatch:
    """Watches the calls of some layers in one forward pass, then gives their traces.

    A layer is `lost` if it was called with or returned no single tensor, or if its input was
    overwritten in place after the call: its calls do not say what its gradients are.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.layers = layers
        self._calls: dict[str, list[_LayerCall]] = {name: [] for name in layers}
        self._lost: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note every call in one block, in which gradients must be enabled."""
        handles = [
            layer.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, layer in self.layers.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[..., Tensor | None]:
        def hook(_: nn.Module, args: Any, kwargs: Any, returned: Tensor) -> Tensor | None:
            given = first_tensor(args, kwargs)
            if given is None or not isinstance(returned, Tensor):
                self._lost.add(name)
                return None
            leaf = not returned.requires_grad  # everything up to here is frozen
            source = returned.detach().requires_grad_() if leaf else returned
            call = _LayerCall(given.detach(), given._version, get_gradient_edge(source))
            self._calls[name].append(call)
            return source.clone() if leaf else None  # a leaf may not be altered in place

        return hook

    @property
    def lost(self) -> set[str]:
        """The layers whose calls do not say what their gradients are."""
        overwritten = {
            name
            for name, calls in self._calls.items()
            if any(call.inputs._version != call.version for call in calls)
        }
        return self._lost | overwritten

    @property
    def uncalled(self) -> list[str]:
        """The layers that were not called."""
        return [name for name, calls in self._calls.items() if not calls]

    def traces(
        self, output: Tensor, gradient: Tensor, also: Mapping[str, nn.Parameter]
    ) -> tuple[dict[str, tuple[LayerTrace, ...]], set[str]]:
        """Go back from the output and return every layer's traces, one a call.

        Parameters
        ----------
        output
            What the model returned in the block.
        gradient
            The gradient of each record's loss with respect to it.
        also
            Parameters, by any name, of which it is asked whether the output depends on them.

        Returns
        -------
        (dict of str to tuple of LayerTrace, set of str)
            The traces by layer, without calls on which the output does not depend; and which of
            `also` it depends on.
        """
        edges = [call.edge for calls in self._calls.values() for call in calls]
        wanted: list[Any] = [*edges, *also.values()]
        if not wanted or not output.requires_grad:
            return dict.fromkeys(self.layers, ()), set()
        found = torch.autograd.grad(output, wanted, grad_outputs=gradient, allow_unused=True)
        deltas, of_parameters = iter(found[: len(edges)]), found[len(edges) :]
        traces = {
            name: tuple(
                LayerTrace(call.inputs, delta)
                for call, delta in zip(calls, deltas, strict=False)
                if delta is not None
            )
            for name, calls in self._calls.items()
        }
        used = {n for n, slope in zip(also, of_parameters, strict=True) if slope is not None}
        return traces, used


def backpropagate(
    model: nn.Module,
    inputs: Tensor,
    layers: Mapping[str, nn.Module],
    output_gradient: Callable[[Tensor], Tensor],
) -> tuple[Tensor, dict[str, tuple[LayerTrace, ...]]]:
    """Run one batch through `model` and back, and return every named layer's traces, one a call.

    Parameters
    ----------
    model
        A module that treats records independently in eval mode (which is enforced and restored).
    inputs
        N records, as the model takes them.
    layers
        The layers to watch, by name.
    output_gradient
        Given the model's output (N, ...), the gradient of each record's loss with respect to it. A
        closed form keeps the digits that automatic differentiation loses for confident records.

    Returns
    -------
    (Tensor, dict of str to tuple of LayerTrace)
        The model's output, detached, and the traces in the order of `layers`; none of a layer on
        which the output does not depend.
    """
    watch = LayerWatch(layers)
    with evaluating(model), torch.enable_grad(), watch.watching():
        output = model(inputs)
    traces, _ = watch.traces(output, output_gradient(output.detach()), {})
    return output.detach(), traces
