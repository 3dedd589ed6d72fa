"""Inner products of each record's gradient with a direction, by layer, without the gradient.

What the layers below return is linear in their parameters, so with the direction D in place of the
parameters, and the gradient delta of the record's loss with respect to what the layer returned,

    <gradient, D> = <delta, layer(input; D)>.

A product of matrices serves all records of a batch.
"""

from collections.abc import Mapping
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from adversaries.inference.gradient_rules.base import RuleDoesNotApplyError, gradients
from adversaries.inference.gradient_rules.embedding import by_position

Direction = Mapping[str, Tensor]
"""One tensor for each parameter of the layer that counts, by its name in the layer."""


@singledispatch
def products(layer: nn.Module, inputs: Tensor, deltas: Tensor, direction: Direction) -> Tensor:
    """Return each record's inner product (N,) of its gradient of `layer` with a direction.

    Parameters
    ----------
    layer, inputs, deltas
        As for `gradients`.
    direction
        Parameters that are not in it do not count.

    Raises
    ------
    RuleDoesNotApplyError
        If no rule is registered for this type of layer, or its settings are beyond the rule.
    """
    raise RuleDoesNotApplyError(f"no rule for products with a {type(layer).__name__}")


def has_products(layer: nn.Module) -> bool:
    """Return whether a rule is registered for a layer of this type."""
    return products.dispatch(type(layer)) is not products.dispatch(nn.Module)


@products.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor, direction: Direction) -> Tensor:
    weight, bias = _weight_and_bias(layer, direction)
    return _summed(F.linear(inputs, weight, bias) * deltas)


@products.register(nn.Conv1d)
@products.register(nn.Conv2d)
def _(layer: _ConvNd, inputs: Tensor, deltas: Tensor, direction: Direction) -> Tensor:
    kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d
    moved = kind._conv_forward(layer, inputs, *_weight_and_bias(layer, direction))  # type: ignore[arg-type]
    return _summed(moved * deltas)


@products.register
def _(layer: nn.Embedding, inputs: Tensor, deltas: Tensor, direction: Direction) -> Tensor:
    tokens, deltas = by_position(layer, inputs, deltas)
    return _summed(F.embedding(tokens, direction["weight"]) * deltas)


@products.register(_BatchNorm)
@products.register(nn.GroupNorm)
@products.register(nn.LayerNorm)
@products.register(nn.RMSNorm)
def _(layer: nn.Module, inputs: Tensor, deltas: Tensor, direction: Direction) -> Tensor:
    """Write the gradients down: a few numbers a channel."""
    found = gradients(layer, inputs, deltas)
    parts = [_summed(found[name] * part) for name, part in direction.items()]
    return torch.stack(parts).sum(0)


def _weight_and_bias(layer: nn.Module, direction: Direction) -> tuple[Tensor, Tensor | None]:
    weight = direction.get("weight")
    if weight is None:  # frozen
        weight = torch.zeros_like(layer.get_parameter("weight"))
    return weight, direction.get("bias")


def _summed(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1, dtype=torch.float64)
