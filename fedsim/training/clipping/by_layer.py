"""Clipping by layer: one pass forward, one pass back, and no gradient of the whole batch.

The pass back stops at the layers' outputs, so the gradients of the parameters are computed once: as
the weighted sum. It takes about as long as training without clipping.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils.hooks import RemovableHandle

from fedsim.training.clipping import convolution as convolution
from fedsim.training.clipping import embedding as embedding
from fedsim.training.clipping import linear as linear
from fedsim.training.clipping.base import Clipping, ClippingDoesNotApplyError
from fedsim.training.clipping.record_gradients import (
    RecordGradients,
    has_rule,
    record_gradients,
)


class LayerClipping(Clipping):
    """Clips by the rules of a model's layers, each of which is called once in a forward pass.

    Raises
    ------
    ClippingDoesNotApplyError
        If a layer has no rule, or a parameter is of two layers.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._layers = [
            layer
            for layer in model.modules()
            if any(p.requires_grad for p in layer.parameters(recurse=False))
        ]
        owned = [p for layer in self._layers for p in layer.parameters(recurse=False)]
        if len(owned) != len(set(owned)) or not all(map(has_rule, self._layers)):
            raise ClippingDoesNotApplyError("a layer without a rule, or tied parameters")
        self._calls: list[tuple[nn.Module, Tensor, GradientEdge]] = []
        self._found: list[tuple[nn.Module, RecordGradients]] = []
        self._count = 0
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "LayerClipping":
        """Watch what the layers are given, and return."""
        self._hooks = [layer.register_forward_hook(self._note) for layer in self._layers]
        return self

    def __exit__(self, *raised: Any) -> None:
        """Watch no more."""
        for hook in self._hooks:
            hook.remove()
        self._calls, self._found, self._hooks = [], [], []

    def _note(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        if len(inputs) != 1 or not all(isinstance(one, Tensor) for one in (inputs[0], output)):
            raise ClippingDoesNotApplyError("a layer that is not from one tensor to one")
        # An edge, and not the output: that may be changed in place by what comes next.
        self._calls.append((layer, inputs[0].detach(), get_gradient_edge(output)))

    def squared_norms(self, loss: Tensor, count: int) -> Tensor:
        """Go back from a loss, and return each record's squared gradient norm, shape (count,)."""
        calls, self._calls = self._calls, []
        if len({layer for layer, _, _ in calls}) != len(calls):
            raise ClippingDoesNotApplyError("a layer that is called twice in a forward pass")
        if any(len(inputs) != count for _, inputs, _ in calls):
            raise ClippingDoesNotApplyError("a layer whose input is not a row per record")
        edges = [edge for _, _, edge in calls]
        deltas = torch.autograd.grad(loss, edges, allow_unused=True)
        self._found = [
            (layer, record_gradients(layer, inputs, delta))
            for (layer, inputs, _), delta in zip(calls, deltas, strict=True)
            if delta is not None
        ]
        self._count = count
        norms = [gradients.squared_norms() for _, gradients in self._found]
        # The loss is a mean: that of a record is so many times larger, and so is its gradient.
        return torch.stack(norms).sum(0) * count**2

    def weighted_sum(self, weights: Tensor) -> dict[nn.Parameter, Tensor]:
        """Return the sum over records of weight times gradient."""
        found, self._found = self._found, []
        return {
            layer.get_parameter(name): value
            for layer, gradients in found
            for name, value in gradients.weighted_sum(weights * self._count).items()
        }
