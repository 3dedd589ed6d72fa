"""The functions that rules extend, by the type of the layer."""

from functools import singledispatch

from torch import Tensor, nn

from fedsim.errors import FedsimError


class RuleDoesNotApplyError(FedsimError):
    """A rule that cannot give the gradients of this layer, as it is set up or was called."""


@singledispatch
def gradients(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    """Return each record's gradient of every parameter of `layer`, from one call of it.

    Parameters
    ----------
    layer
        The layer; its type chooses the rule.
    inputs, deltas
        What it was given (N, ...), and the gradient of each record's loss with respect to what it
        returned (N, ...); in eval mode. See `record_axes` for layers that return several tensors.

    Returns
    -------
    dict of str to Tensor
        Parameter name to gradients of shape (N, then the parameter's own).

    Raises
    ------
    RuleDoesNotApplyError
        If no rule is registered for this type of layer, or its settings are beyond the rule.
    """
    raise RuleDoesNotApplyError(
        f"no per-record gradient rule is registered for layers of type {type(layer).__name__}; "
        "register one with adversaries.inference.gradient_rules.gradients.register"
    )


@singledispatch
def squared_norms(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return each record's squared gradient norm over all parameters of `layer`, shape (N,).

    The rule for any type without a cheaper one: materialise the gradients and square them.
    """
    total = deltas.new_zeros(len(deltas))
    for gradient in gradients(layer, inputs, deltas).values():
        total = total + gradient.flatten(1).square().sum(1)
    return total


@singledispatch
def record_axes(layer: nn.Module) -> tuple[int, ...]:
    """Return the axis of the records in each tensor that `layer` returns; the first is the input's.

    Where there are several tensors, `gradients` and `squared_norms` are given their deltas side by
    side, flattened: (N, ...) with the records moved to the first axis.
    """
    return (0,)


def has_rule(layer: nn.Module) -> bool:
    """Return whether a rule is registered for a layer of this type."""
    return gradients.dispatch(type(layer)) is not gradients.dispatch(nn.Module)


def norms_over_positions(inputs: Tensor, deltas: Tensor, biased: bool) -> Tensor:
    """Return |sum over positions p of delta_p a_p^T|^2 for (N, ..., width, positions) tensors.

    Either the sum is made, or the norm is read off the two Gram matrices over positions (the ghost
    norm), whichever needs fewer multiplications.
    """
    fan_in, fan_out, positions = inputs.shape[-2], deltas.shape[-2], inputs.shape[-1]
    if positions * (fan_in + fan_out) < fan_in * fan_out:
        products = (inputs.mT @ inputs) * (deltas.mT @ deltas)
    else:
        products = (deltas @ inputs.mT).square()
    norms = products.flatten(1).sum(1).clamp(min=0)  # rounding may leave a Gram sum below zero
    return norms + deltas.sum(-1).flatten(1).square().sum(1) if biased else norms
