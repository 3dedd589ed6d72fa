"""Gradients of every single record in closed form, one rule a layer type.

A backward pass over a batch already holds all that is needed: a layer's input and the gradient of
the loss with respect to its output (its *delta*). Each record's parameter gradient is a product of
the two, so no record needs a backward pass of its own. `gradients` materialises them;
`squared_norms` has cheaper rules where the norm alone is asked for (Goodfellow 2015 for linear
layers; the ghost norm of Bu, Mao and Xu 2022 for convolutions).

A rule for another layer type is ten lines, from any package::

    @gradients.register
    def _(layer: MyLayer, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]: ...

`backward.backpropagate` collects the inputs and deltas.
"""

from functools import singledispatch

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adversaries.inference.conv_unfold import Unfolding
from fedsim.errors import FedsimError, listed


@singledispatch
def gradients(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    """Return each record's gradient of every parameter of `layer`.

    Parameters
    ----------
    layer
        The layer; its type chooses the rule.
    inputs, deltas
        What it was given (N, ...), and the gradient of each record's loss with respect to what it
        returned (N, ...); in eval mode.

    Returns
    -------
    dict of str to Tensor
        Parameter name to gradients of shape (N, then the parameter's own).

    Raises
    ------
    FedsimError
        If no rule is registered for this type of layer.
    """
    raise FedsimError(
        f"no per-record gradient rule is registered for layers of type {type(layer).__name__}: "
        "name only layers that have one (Linear, Conv2d, BatchNorm), or register a rule with "
        "adversaries.inference.gradients.gradients.register"
    )


@singledispatch
def squared_norms(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return each record's squared gradient norm over all parameters of `layer`, shape (N,).

    The rule for any type without a cheaper one: materialise the gradients and square them.
    """
    total = inputs.new_zeros(len(inputs))
    for gradient in gradients(layer, inputs, deltas).values():
        total = total + gradient.flatten(1).square().sum(1)
    return total


@gradients.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    inputs, deltas = _positions(inputs), _positions(deltas)
    found = {"weight": deltas.mT @ inputs}
    if layer.bias is not None:
        found["bias"] = deltas.sum(1)
    return found


@squared_norms.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> Tensor:
    biased = layer.bias is not None
    if inputs.dim() == 2:  # rank one: |delta a^T|^2 = |delta|^2 |a|^2, and the bias adds |delta|^2
        return deltas.square().sum(1) * (inputs.square().sum(1) + biased)
    return _norms_over_positions(_positions(inputs).mT, _positions(deltas).mT, biased)


@gradients.register
def _(layer: nn.Conv2d, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    unfolding = Unfolding.of(layer)
    patches, deltas = unfolding.patches(inputs), unfolding.by_group(deltas)
    found = {"weight": (deltas @ patches.mT).reshape(len(inputs), *layer.weight.shape)}
    if layer.bias is not None:
        found["bias"] = deltas.sum(-1).flatten(1)
    return found


@squared_norms.register
def _(layer: nn.Conv2d, inputs: Tensor, deltas: Tensor) -> Tensor:
    unfolding = Unfolding.of(layer)
    patches, deltas = unfolding.patches(inputs), unfolding.by_group(deltas)
    return _norms_over_positions(patches, deltas, layer.bias is not None)


@gradients.register
def _(layer: _BatchNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    if layer.running_mean is None or layer.running_var is None:
        raise FedsimError(
            "a batch-normalisation layer without running statistics mixes the records of a batch, "
            "so no record has a gradient of its own: track running statistics, or leave it out"
        )
    if not layer.affine:
        return {}
    shape = (1, -1, *[1] * (inputs.dim() - 2))
    mean, variance = layer.running_mean.view(shape), layer.running_var.view(shape)
    normalised = (inputs - mean) / (variance + layer.eps).sqrt()
    by_position = (len(inputs), layer.num_features, -1)
    return {
        "weight": (normalised * deltas).reshape(by_position).sum(2),
        "bias": deltas.reshape(by_position).sum(2),
    }


def _positions(values: Tensor) -> Tensor:
    """Return (N, positions, width) of a linear layer's (N, ..., width)."""
    return values.reshape(len(values), -1, values.shape[-1])


def _norms_over_positions(inputs: Tensor, deltas: Tensor, biased: bool) -> Tensor:
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


def trainable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that own trainable parameters, by name, in the model's order.

    Raises
    ------
    FedsimError
        If one of them has no gradient rule; the sentence names all such layers.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if any(p.requires_grad for p in module.parameters(recurse=False))
    }
    unruled = gradients.dispatch(nn.Module)
    lacking = [
        f"{name or 'the model itself'} ({type(layer).__name__})"
        for name, layer in layers.items()
        if gradients.dispatch(type(layer)) is unruled
    ]
    if lacking:
        raise FedsimError(
            f"no per-record gradient rule is registered for {listed(lacking)}: name the layers "
            "whose gradient norms you want, or register a rule for that type of layer"
        )
    return layers
