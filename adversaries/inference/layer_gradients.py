"""Per-record gradients of layers: by a closed-form rule if one applies, else by autograd.

The method of each layer is chosen once, on two records of the first batch: a rule is used only if
its result agrees with autograd. A subclass with another forward pass, a weight that is used
elsewhere, or an input with its records on another axis therefore uses the general method, and its
gradients are never wrong.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adversaries.inference.backward import BatchPass, LayerTrace, LayerWatch
from adversaries.inference.factored_gradients import FactoredGradients, joined
from adversaries.inference.general_gradients import GeneralGradients
from adversaries.inference.gradient_rules import has_rule
from adversaries.inference.layer_parameters import Own
from adversaries.inference.model_layers import parameter_owners
from adversaries.inference.rule_gradients import (
    converted_trace,
    has_row_per_record,
    rule_factors,
    rule_gradients,
    rule_squared_norm,
    summed_squares,
    weight_matrix,
)
from adversaries.inference.single_record import CLOSE, last_of_batch, single_record_gradients

_NOISE = 1e-6  # of the largest gradient of the model; less is rounding

Traces = Mapping[str, tuple[LayerTrace, ...]]


class LayerGradients:
    """The gradient norms and weight gradients of one model's layers.

    Parameters
    ----------
    model
        In eval mode wherever this is used.
    normed
        The layers whose gradient norm is wanted, with the parameters that count.
    matrices
        The layers whose weight gradients are wanted.
    """

    def __init__(
        self, model: nn.Module, normed: Mapping[str, Own], matrices: Mapping[str, Own]
    ) -> None:
        self.model = model
        self.normed, self.matrices = normed, matrices
        modules = dict(model.named_modules())
        self.layers = {name: modules[name] for name in {**normed, **matrices}}
        self.general = {name for name in self.layers if not self._may_have_rule(name)}
        self._full_names = {id(p): name for name, p in model.named_parameters()}
        self._ways: dict[frozenset[str], GeneralGradients] = {}
        self._vectorised = True

    def _may_have_rule(self, name: str) -> bool:
        layer = self.layers[name]
        owners = parameter_owners(self.model)
        own = self._own(name)
        return (
            has_rule(layer)
            and not parametrize.is_parametrized(layer)
            and {*own} <= {*layer._parameters}
            and all(len(owners[id(parameter)]) == 1 for parameter in own.values())
        )

    def _own(self, name: str) -> Own:
        return {**self.normed.get(name, {}), **self.matrices.get(name, {})}

    def watch(self) -> LayerWatch:
        """Return the watch of layers with rules for one forward pass."""
        return LayerWatch({n: m for n, m in self.layers.items() if n not in self.general})

    def choose(self, inputs: Tensor, output: Tensor, direction: Tensor, watch: LayerWatch) -> None:
        """Try all rules on a few records, and use autograd for layers whose rule fails.

        Parameters
        ----------
        inputs, output, direction
            Of n records: what the model takes and has returned while `watch` looked, and the
            gradient of each record's loss with respect to it.

        Raises
        ------
        FedsimError
            If the model does not treat a record alone as it does in a batch.
        """
        tried = {name: self._own(name) for name in watch.layers if name not in watch.lost}
        alone = self._truth(inputs, output, direction, tried)
        truth = last_of_batch(output, direction, tried) or alone
        traces, _ = watch.traces(output, direction, {})
        sizes = {n: _norm(list(slopes.values())) for n, slopes in truth.items()}
        noise = _NOISE * max(sizes.values(), default=0.0)
        right = set()
        for name, slopes in truth.items():
            layer, own, last = self.layers[name], self._own(name), slice(-1, None)
            found = rule_gradients(layer, own, traces[name], len(inputs), last)
            if found is None:
                continue
            wrong = _norm([slopes[local] - found[local][0] for local in slopes])
            if wrong <= CLOSE * sizes[name] + noise:
                right.add(name)
        self.general |= {*watch.layers} - right
        everything = {name: own for name, own in self._all().items() if name in self.general}
        if everything:
            self._try_vectorised(inputs, output, direction, everything)

    def _all(self) -> dict[str, Own]:
        return {name: self._own(name) for name in self.layers}

    def _try_vectorised(
        self, inputs: Tensor, output: Tensor, direction: Tensor, layers: Mapping[str, Own]
    ) -> None:
        """Check whether `vmap` agrees with autograd on one record."""
        truth = self._truth(inputs, output, direction, layers)
        way = self._way(frozenset(layers))
        largest = _norm([slope for slopes in truth.values() for slope in slopes.values()])
        for found in way.of(inputs[-1:], direction[-1:]):
            wrong = [
                found[self._full(layers[name][local])][0] - slope
                for name, slopes in truth.items()
                for local, slope in slopes.items()
            ]
            if _norm(wrong) > CLOSE * largest:
                way.vectorised = False
        self._vectorised = way.vectorised
        self._ways.clear()

    def _truth(
        self, inputs: Tensor, output: Tensor, direction: Tensor, layers: Mapping[str, Own]
    ) -> dict[str, dict[str, Tensor]]:
        """Return the gradients of the last of a few records, by autograd."""
        last = (inputs[-1:], output[-1:].detach(), direction[-1:])
        return single_record_gradients(self.model, *last, layers)

    def of_batch(self, done: BatchPass) -> tuple[list[Tensor], dict[str, FactoredGradients]]:
        """Return the squared norms (N,) of `normed`, not scaled, and the gradients of `matrices`.

        The norms are those of the gradients that `done.direction` starts, as those of the losses
        may underflow; `done.scale` makes them those of the losses.
        """
        watch, count = done.watch, len(done.inputs)
        asked = {
            f"{name}/{local}": parameter
            for name in watch.uncalled
            for local, parameter in self._own(name).items()
            if parameter.requires_grad
        }
        traces, used = watch.traces(done.output, done.direction, asked)
        traces = {
            n: tuple(converted_trace(t, done.precision) for t in of) for n, of in traces.items()
        }
        general = self.general | watch.lost | {name.partition("/")[0] for name in used}
        general |= {n for n, of in traces.items() if not has_row_per_record(of, count)}
        norms = {
            name: rule_squared_norm(name, self.layers[name], own, traces[name], done)
            for name, own in self.normed.items()
            if name not in general
        }
        found = {
            name: rule_factors(name, self.layers[name], self._own(name), traces[name], done)
            for name in self.matrices
            if name not in general
        }
        if general:
            self._generally(frozenset(general), done, norms, found)
        return [norms[name] for name in self.normed], {n: found[n] for n in self.matrices}

    def _generally(
        self,
        layers: frozenset[str],
        done: BatchPass,
        norms: dict[str, Tensor],
        matrices: dict[str, FactoredGradients],
    ) -> None:
        """Add the norms and the weight gradients of layers without a rule."""
        squares: dict[str, list[Tensor]] = {n: [] for n in layers if n in self.normed}
        weights: dict[str, list[FactoredGradients]] = {n: [] for n in layers if n in self.matrices}
        first = 0
        for found in self._way(layers).of(done.inputs, done.direction.to(done.precision)):
            scale = done.scale[first : first + len(next(iter(found.values())))]
            first += len(scale)
            for name, parts in squares.items():
                parts.append(
                    summed_squares([found[self._full(p)] for p in self.normed[name].values()])
                )
            for name, made in weights.items():
                scaled = {
                    local: found[self._full(p)] * scale.view(-1, *[1] * p.dim())
                    for local, p in self.matrices[name].items()
                }
                made.append(weight_matrix(self.layers[name], scaled))
        norms |= {name: torch.cat(parts) for name, parts in squares.items()}
        matrices |= {name: joined(parts) for name, parts in weights.items()}

    def _full(self, parameter: nn.Parameter) -> str:
        return self._full_names[id(parameter)]

    def _way(self, layers: frozenset[str]) -> GeneralGradients:
        if layers not in self._ways:
            wanted = [p for name in sorted(layers) for p in self._own(name).values()]
            named = {self._full(parameter): parameter for parameter in wanted}
            self._ways[layers] = GeneralGradients(self.model, named, self._vectorised)
        return self._ways[layers]


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(tensor)) for tensor in tensors))
