"""Norms of each record's gradient, and its inner products with directions, in one pass.

A forward and a backward pass give each layer's inputs and the gradients at its output. From them
follow the norms, and with one product of matrices a layer the inner products with each direction:
see `gradient_rules.products`. Forward mode, which serves any model, computes the whole model anew
for each direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adversaries.inference.backward import BatchPass, LayerTrace, LayerWatch
from adversaries.inference.extraction import scaled_norms
from adversaries.inference.gradient_rules import RuleDoesNotApplyError, has_products, products
from adversaries.inference.layer_gradients import LayerGradients
from adversaries.inference.layer_parameters import trainable_layers
from adversaries.inference.rule_gradients import has_row_per_record, rule_squared_norm
from fedsim.objectives import Objective, RecordFit

Directions = Sequence[Mapping[str, Tensor]]
"""Each by the names of the model's trainable parameters."""


@dataclass(frozen=True)
class BatchProducts:
    """What a batch of N records gives.

    Attributes
    ----------
    fit
        Of the outputs.
    products : (D, N)
        Inner products of ``gradient / s`` with each direction, with s as in `RecordFit`.
    norms, log_norms : (N, L)
        Of the gradients of the layers, and the logarithms.
    """

    fit: RecordFit
    products: Tensor
    norms: Tensor
    log_norms: Tensor


class LayerProducts:
    """Computes them for a model whose layers all have rules.

    Parameters
    ----------
    model
        In eval mode wherever this is used.
    objective
        The training objective.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        self._model, self._objective = model, objective
        self._layers = LayerGradients(model, trainable_layers(model), {})

    def applies(self, inputs: Tensor, targets: Tensor) -> bool:
        """Return whether all layers have rules that are right on a few records.

        Raises
        ------
        FedsimError
            If the model does not treat a record alone as it does in a batch.
        """
        layers = self._layers
        if layers.general or not all(map(has_products, layers.layers.values())):
            return False
        output, fit, watch = self._passed(inputs, targets)
        layers.choose(inputs, output, fit.direction, watch)
        return not layers.general

    def of_batch(
        self, inputs: Tensor, targets: Tensor, directions: Directions
    ) -> BatchProducts | None:
        """Return what a batch gives; None if a rule does not apply to it."""
        layers = self._layers
        output, fit, watch = self._passed(inputs, targets)
        if watch.lost or watch.uncalled:
            return None
        traces, _ = watch.traces(output, fit.direction, {})
        if not all(has_row_per_record(of, len(inputs)) for of in traces.values()):
            return None
        done = BatchPass(inputs, output, fit.direction, fit.log_scale.exp(), watch, output.dtype)
        squares = [
            rule_squared_norm(name, layers.layers[name], own, traces[name], done)
            for name, own in layers.normed.items()
        ]
        try:
            found = [self._along(direction, traces, len(inputs)) for direction in directions]
        except RuleDoesNotApplyError:
            return None
        return BatchProducts(fit, torch.stack(found), *scaled_norms(squares, fit))

    def _passed(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, RecordFit, LayerWatch]:
        """Return the outputs of a forward pass, what they say of the targets, and what was seen."""
        watch = self._layers.watch()
        with torch.enable_grad(), watch.watching():
            output: Tensor = self._model(inputs)
        return output, self._objective.record_fit(output.detach(), targets), watch

    def _along(
        self,
        direction: Mapping[str, Tensor],
        traces: Mapping[str, Sequence[LayerTrace]],
        records: int,
    ) -> Tensor:
        device = next(iter(direction.values())).device
        total = torch.zeros(records, dtype=torch.float64, device=device)
        for name, own in self._layers.normed.items():
            prefix = f"{name}." if name else ""
            part = {local: direction[f"{prefix}{local}"] for local in own}
            for trace in traces[name]:
                total += products(self._layers.layers[name], *trace, part)
        return total
