"""Forward and backward passes of many models at once: the parameters of each layer, stacked.

A stacked tensor has the models in front: parameters (models, *shape), values (models, records,
...). Each layer type has its rule, and a model can be stacked if it is a chain of layers that have
one. The products are batched, so a small layer costs one call for all models; and as a gradient is
handed on as the two factors that it is the product of, it can be added to where it is wanted (to a
momentum, or to the parameters themselves) without ever being written down.

What comes out for one model does not depend on which others are in the stack with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gradient:
    """A gradient for each model, as two factors: ``sum over records of delta outer inputs``.

    Attributes
    ----------
    delta
        (models, records, outputs): of the loss with respect to the layer's outputs.
    inputs
        (models, records, inputs): what the layer got; ones for a bias.
    also
        What is to be added to the product, in the parameter's shape.
    """

    delta: Tensor
    inputs: Tensor
    also: Tensor | None = None

    def add_to(self, target: Tensor, *, keep: float = 1.0, factor: float = 1.0) -> None:
        """Make `target`, (models, *shape of the parameter), ``keep * target + factor * self``."""
        outer = target.view(*self.delta.shape[::2], -1)
        outer.baddbmm_(self.delta.mT, self.inputs, beta=keep, alpha=factor)
        if self.also is not None:
            target.add_(self.also, alpha=factor)


class Layer(Protocol):
    """The rule of a layer type; `parameters` are those of the whole model, stacked."""

    def forward(self, inputs: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return the layer's outputs."""

    def backward(
        self, delta: Tensor, inputs: Tensor, outputs: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the loss's derivative by `inputs`, given that by `outputs`."""

    def gradients(self, delta: Tensor, inputs: Tensor) -> dict[int, Gradient]:
        """Return the gradients of the layer's parameters, by their number in the model."""


@dataclass(frozen=True)
class _Linear:
    weight: int
    bias: int | None

    def forward(self, inputs: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        weight = parameters[self.weight].mT
        if self.bias is None:
            return torch.bmm(inputs, weight)
        return torch.baddbmm(parameters[self.bias].unsqueeze(1), inputs, weight)

    def backward(
        self, delta: Tensor, inputs: Tensor, outputs: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        return torch.bmm(delta, parameters[self.weight])

    def gradients(self, delta: Tensor, inputs: Tensor) -> dict[int, Gradient]:
        found = {self.weight: Gradient(delta, inputs)}
        if self.bias is not None:
            found[self.bias] = Gradient(delta, torch.ones_like(delta[..., :1]))
        return found


@dataclass(frozen=True)
class _Elementwise:
    """A function of each element, and its derivative times `delta` from the outputs."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]

    def forward(self, inputs: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        return self.function(inputs)

    def backward(
        self, delta: Tensor, inputs: Tensor, outputs: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        return self.derivative(delta, outputs)

    def gradients(self, delta: Tensor, inputs: Tensor) -> dict[int, Gradient]:
        return {}


@dataclass(frozen=True)
class _Flatten:
    def forward(self, inputs: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        return inputs.flatten(2)

    def backward(
        self, delta: Tensor, inputs: Tensor, outputs: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        return delta.view_as(inputs)

    def gradients(self, delta: Tensor, inputs: Tensor) -> dict[int, Gradient]:
        return {}


def _linear(module: nn.Module, numbers: Mapping[Tensor, int]) -> Layer:
    assert isinstance(module, nn.Linear)  # noqa: S101 - what it is registered for
    bias = None if module.bias is None else numbers[module.bias]
    return _Linear(numbers[module.weight], bias)


def _tanh(module: nn.Module, numbers: Mapping[Tensor, int]) -> Layer:
    return _Elementwise(torch.tanh, _of_tanh)


def _relu(module: nn.Module, numbers: Mapping[Tensor, int]) -> Layer:
    return _Elementwise(torch.relu, _of_relu)


# Functions of ours: a stacked model travels to a cluster, and torch's operators cannot be pickled.
def _of_tanh(delta: Tensor, outputs: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.tanh_backward(delta, outputs))


def _of_relu(delta: Tensor, outputs: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.threshold_backward(delta, outputs, 0))


def _flatten(module: nn.Module, numbers: Mapping[Tensor, int]) -> Layer:
    return _Flatten()


RULES: dict[type[nn.Module], Callable[[nn.Module, Mapping[Tensor, int]], Layer]] = {
    nn.Linear: _linear,
    nn.Tanh: _tanh,
    nn.ReLU: _relu,
    nn.Flatten: _flatten,
}
"""What makes the layer of a module, by its exact type: a subclass may compute something else."""


@dataclass(frozen=True)
class StackedModel:
    """A chain of layers, for any number of models at once.

    Attributes
    ----------
    layers
        From the inputs on.
    shapes
        Of one model's parameters, by name, in the order of their numbers.
    """

    layers: tuple[Layer, ...]
    shapes: Mapping[str, torch.Size]

    def forward(self, inputs: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Return the inputs (models, records, ...) and what each layer made of them, in order."""
        values = [inputs]
        for layer in self.layers:
            values.append(layer.forward(values[-1], parameters))
        return values

    def backward(
        self, delta: Tensor, values: Sequence[Tensor], parameters: Sequence[Tensor]
    ) -> dict[int, Gradient]:
        """Return the gradients by the parameters' numbers.

        Parameters
        ----------
        delta
            (models, records, classes): the loss's derivative by the model's outputs.
        values
            What `forward` returned.
        parameters
            Stacked, (models, *shape) each.
        """
        gradients: dict[int, Gradient] = {}
        for place in reversed(range(len(self.layers))):
            layer, inputs = self.layers[place], values[place]
            gradients |= layer.gradients(delta, inputs)
            if len(gradients) == len(self.shapes):
                break  # nothing below has parameters
            delta = layer.backward(delta, inputs, values[place + 1], parameters)
        return gradients


def stacked_model(model: nn.Module) -> StackedModel | str:
    """Return a model in its stacked form, or why it has none.

    Returns
    -------
    StackedModel or str
        The reason completes the sentence "it cannot be stacked because ...".
    """
    named = dict(model.named_parameters())
    chain = _chain(model)
    third_party = next((type(m).__name__ for m in chain if type(m) not in RULES), None)
    if third_party is not None:
        known = ", ".join(kind.__name__ for kind in RULES)
        return f"the model has a {third_party}, and only chains of {known} can be stacked"
    if len(set(map(id, chain))) < len(chain) or len(named) < len(model.state_dict()):
        return "the model uses the same layer or parameter twice"
    if any(isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1) for m in chain):
        return "the model's Flatten leaves some dimensions as they are"
    if any(not p.requires_grad or p.dtype != torch.float32 for p in named.values()):
        return "the model has parameters that are frozen or not of type float32"
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return "the model has hooks"
    numbers: dict[Tensor, int] = {
        parameter: number for number, parameter in enumerate(named.values())
    }
    layers = tuple(RULES[type(module)](module, numbers) for module in chain)
    return StackedModel(layers, {name: p.shape for name, p in named.items()})


def _chain(module: nn.Module) -> list[nn.Module]:
    """Return the modules that a model calls one after the other."""
    if type(module) is nn.Sequential:
        return [inner for child in module for inner in _chain(child)]
    return [module]
