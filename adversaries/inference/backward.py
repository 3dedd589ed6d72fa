"""Forward and backward pass of one batch, collecting the factors of per-record gradients.

Autograd computes the gradient at the *edge* that a layer's output had when the layer returned it.
An in-place activation after the layer, which silently makes backward hooks return wrong values,
therefore changes nothing, and no parameter's ``.grad`` is touched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from adversaries.inference.gradient_rules import record_axes
from adversaries.inference.model_layers import evaluating, first_tensor


class LayerTrace(NamedTuple):
    """Inputs and output gradients of one call of a layer on a batch of N records.

    `inputs` (N, ...) are the inputs of the layer; `deltas` (N, ...) are the gradients of each
    record's loss with respect to its output. See `record_axes` for layers with several outputs.
    """

    inputs: Tensor
    deltas: Tensor


class _LayerCall(NamedTuple):
    inputs: Tensor
    version: int
    edges: tuple[GradientEdge, ...]
    shapes: tuple[torch.Size, ...]
    axes: tuple[int, ...]

    def trace(self, deltas: Sequence[Tensor | None]) -> LayerTrace | None:
        """Return the trace of the call, records first; None if the output does not depend on it."""
        some = next((delta for delta in deltas if delta is not None), None)
        if some is None:
            return None
        moved = [
            (some.new_zeros(shape) if delta is None else delta).movedim(axis, 0)
            for delta, shape, axis in zip(deltas, self.shapes, self.axes, strict=True)
        ]
        whole = moved[0] if len(moved) == 1 else torch.cat([one.flatten(1) for one in moved], 1)
        return LayerTrace(self.inputs.movedim(self.axes[0], 0), whole)


class LayerWatch:
    """Records the calls of some layers in one forward pass, and returns their traces.

    A layer is `lost` if it was not called with one tensor, did not return as many as its rule
    expects, or if its input was overwritten in place after the call: its gradients cannot be
    computed from its calls.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.layers = layers
        self._calls: dict[str, list[_LayerCall]] = {name: [] for name in layers}
        self._lost: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record every call within the context, in which gradients must be enabled."""
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
        def hook(layer: nn.Module, args: Any, kwargs: Any, returned: Any) -> Tensor | None:
            given, axes = first_tensor(args, kwargs), record_axes(layer)
            found = _tensors(returned)
            several = len(axes) > 1 and sum(v is not None for v in (*args, *kwargs.values())) > 1
            if given is None or found is None or len(found) != len(axes) or several:
                self._lost.add(name)
                return None
            leaf = not found[0].requires_grad  # everything up to here is frozen
            if leaf and len(found) > 1:
                self._lost.add(name)
                return None
            sources = [found[0].detach().requires_grad_()] if leaf else found
            edges = tuple(map(get_gradient_edge, sources))
            shapes = tuple(one.shape for one in sources)
            self._calls[name].append(
                _LayerCall(given.detach(), given._version, edges, shapes, axes)
            )
            return sources[0].clone() if leaf else None  # a leaf may not be altered in place

        return hook

    @property
    def lost(self) -> set[str]:
        """The layers whose gradients cannot be computed from their calls."""
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
        """Backpropagate from the output and return every layer's traces, one per call.

        Parameters
        ----------
        output
            The output of the model within the context.
        gradient
            The gradient of each record's loss with respect to it.
        also
            Further parameters, by any name, to check whether the output depends on them.

        Returns
        -------
        (dict of str to tuple of LayerTrace, set of str)
            The traces by layer, without calls on which the output does not depend; and the names
            in `also` on which it depends.
        """
        edges = [edge for calls in self._calls.values() for call in calls for edge in call.edges]
        wanted: list[Any] = [*edges, *also.values()]
        if not wanted or not output.requires_grad:
            return dict.fromkeys(self.layers, ()), set()
        found = torch.autograd.grad(output, wanted, grad_outputs=gradient, allow_unused=True)
        deltas, of_parameters = iter(found[: len(edges)]), found[len(edges) :]
        traces = {
            name: tuple(
                trace
                for call in calls
                if (trace := call.trace([next(deltas) for _ in call.edges])) is not None
            )
            for name, calls in self._calls.items()
        }
        used = {n for n, slope in zip(also, of_parameters, strict=True) if slope is not None}
        return traces, used


def _tensors(returned: Any) -> list[Tensor] | None:
    """Return the output of a layer as a list of tensors; None if it contains anything else."""
    if isinstance(returned, Tensor):
        return [returned]
    if type(returned) is not tuple:
        return None
    parts = [_tensors(one) for one in returned]
    return None if None in parts else [one for part in parts for one in part or ()]


@dataclass(frozen=True)
class BatchPass:
    """The forward pass of one batch of N records.

    Attributes
    ----------
    inputs, output
        Input and output of the model.
    direction, scale
        The gradient of each record's loss with respect to the output is ``direction * scale``,
        with a scale (N,).
    watch
        The recorded calls of the layers.
    precision
        Precision of the computations on them.
    """

    inputs: Tensor
    output: Tensor
    direction: Tensor
    scale: Tensor
    watch: LayerWatch
    precision: torch.dtype


def backpropagate(
    model: nn.Module,
    inputs: Tensor,
    layers: Mapping[str, nn.Module],
    output_gradient: Callable[[Tensor], Tensor],
) -> tuple[Tensor, dict[str, tuple[LayerTrace, ...]]]:
    """Run one batch forward and backward, and return the traces of the named layers.

    Parameters
    ----------
    model
        A module that treats records independently in eval mode (which is enforced and restored).
    inputs
        N records, as inputs of the model.
    layers
        The layers to trace, by name.
    output_gradient
        Given the model's output (N, ...), the gradient of each record's loss with respect to it. A
        closed form keeps the digits that automatic differentiation loses for confident records.

    Returns
    -------
    (Tensor, dict of str to tuple of LayerTrace)
        The model's output, detached, and the traces in the order of `layers`, one per call; empty
        for a layer on which the output does not depend.
    """
    watch = LayerWatch(layers)
    with evaluating(model), torch.enable_grad(), watch.watching():
        output = model(inputs)
    traces, _ = watch.traces(output, output_gradient(output.detach()), {})
    return output.detach(), traces
