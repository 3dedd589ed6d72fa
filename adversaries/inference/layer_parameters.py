"""Which parameters count in the gradient norm of which layer.

A parameter that several layers share has one gradient, the sum of what all its uses add; it counts
once, in the layer that is defined first, so that the norms of all layers together are the norm of
the gradient of the model.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from adversaries.inference.model_layers import parameter_owners, require_layers
from fedsim.errors import FedsimError

Own = Mapping[str, nn.Parameter]
"""The parameters of a layer that count in it, by their names in the layer."""


def trainable_layers(model: nn.Module) -> dict[str, Own]:
    """Return the modules that own trainable parameters, by name, with those that count in them."""
    first = {key: names[0] for key, names in parameter_owners(model).items()}
    found = {
        name: {
            local: parameter
            for local, parameter in module._parameters.items()
            if parameter is not None and parameter.requires_grad and first[id(parameter)] == name
        }
        for name, module in model.named_modules()
    }
    return {name: own for name, own in found.items() if own}


def named_layers(model: nn.Module, names: Sequence[str]) -> dict[str, Own]:
    """Return the parameters of layers that are asked for by name.

    Of a module that has none itself all those within it count; frozen ones count where all are.

    Raises
    ------
    FedsimError
        If the model has no such module, or a module has no parameters.
    """
    modules = dict(model.named_modules())
    require_layers(modules, names)
    found: dict[str, Own] = {}
    for name in names:
        module = modules[name]
        direct = dict(module.named_parameters(recurse=False))
        every = direct or dict(module.named_parameters())
        own = {n: p for n, p in every.items() if p.requires_grad} or every
        if not own:
            raise FedsimError(
                f"layer '{name}', a {type(module).__name__}, has no parameters and so no gradient"
            )
        found[name] = own
    return found
