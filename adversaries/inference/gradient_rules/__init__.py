"""Gradients of every single record in closed form, one layer type a file.

A backward pass over a batch already holds all that is needed: a layer's input and the gradient of
the loss with respect to its output (its *delta*). Each record's parameter gradient is a product of
the two, so no record needs a backward pass of its own. `gradients` materialises them;
`squared_norms` has cheaper rules where the norm alone is asked for (Goodfellow 2015 for linear
layers; the ghost norm of Bu, Mao and Xu 2022 for convolutions), and so has `products` for inner
products with a direction.

A rule for another layer type is ten lines, from any package::

    @gradients.register
    def _(layer: MyLayer, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]: ...

A layer without a rule, or to which a rule does not apply, takes the general way of
`general_gradients`: slower, and as exact.
"""

from adversaries.inference.gradient_rules import (  # noqa: F401 - they register themselves
    batch_norm,
    convolution,
    embedding,
    group_norm,
    layer_norm,
    linear,
    recurrent,
    rms_norm,
)
from adversaries.inference.gradient_rules.base import (
    RuleDoesNotApplyError,
    gradients,
    has_rule,
    record_axes,
    squared_norms,
)
from adversaries.inference.gradient_rules.products import Direction, has_products, products

__all__ = [
    "Direction",
    "RuleDoesNotApplyError",
    "gradients",
    "has_products",
    "has_rule",
    "products",
    "record_axes",
    "squared_norms",
]
