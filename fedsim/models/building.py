"""Building a model from its name and settings, with seeded initial parameters."""

from collections.abc import Mapping
from contextlib import suppress

import torch
from torch import nn

from fedsim import plugins, seeds
from fedsim.errors import PluginError, listed
from fedsim.machine import memory_there

_COPIES = 3
"""Copies of a model's parameters in training: the parameters, their gradients, the aggregate."""


def require_model_fits(
    name: str, settings: Mapping[str, object], *, input_shape: tuple[int, ...], num_classes: int
) -> None:
    """Raise unless a model fits into this machine's memory; its parameters are not allocated.

    A model that cannot be built without allocating its parameters is not checked.

    Raises
    ------
    PluginError
        If the model does not fit. The sentence states its size.
    """
    size = 0
    with suppress(Exception), torch.device("meta"), seeds.global_draws(0, "model size"):
        model = plugins.build(
            "models", name, settings, input_shape=input_shape, num_classes=num_classes
        )
        size = sum(one.numel() * one.element_size() for one in model.state_dict().values())
    if _COPIES * size > (there := memory_there()):
        raise PluginError(
            f"model {name} has {size / 1e9:,.1f} GB of parameters, and training takes {_COPIES} "
            f"times as much, but this machine has {there / 1e9:,.1f} GB; make it smaller by "
            f"{listed(settings) if settings else 'settings of its own'}"
        )


def build_model(
    name: str,
    settings: Mapping[str, object],
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    seed: int,
) -> nn.Module:
    """Return a new model whose initial parameters depend on `seed` only.

    Parameters
    ----------
    name, settings
        A plugin of the group ``models`` and its settings.
    input_shape
        Shape of one record: (channels, height, width) or (features,).
    num_classes
        The number of classes.
    seed
        Seed of the initial parameters.

    Raises
    ------
    PluginError
        If there is no such model, its settings are not valid, or it is not a `torch.nn.Module`.
    """
    provided = {"input_shape": input_shape, "num_classes": num_classes}
    with seeds.global_draws(seed, "model"):
        model = plugins.build("models", name, settings, **provided)
    if not isinstance(model, nn.Module):
        raise PluginError(
            f"model {name!r} gave a {type(model).__name__}; a factory must return a torch.nn.Module"
        )
    return model
