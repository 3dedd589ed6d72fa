"""Turning a model's name and settings into a fresh network with seeded parameters."""

from collections.abc import Mapping

from torch import nn

from fedsim import plugins, seeds
from fedsim.errors import PluginError


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
        A plugin of group ``models`` and its settings.
    input_shape
        Shape of one record: (channels, height, width) or (features,).
    num_classes
        How many classes the labels have.

    Raises
    ------
    PluginError
        If there is no such model, its settings are not valid, or it is not a `torch.nn.Module`.
    """
    with seeds.global_draws(seed, "model"):
        model = plugins.build(
            "models", name, settings, input_shape=input_shape, num_classes=num_classes
        )
    if not isinstance(model, nn.Module):
        raise PluginError(
            f"model {name!r} gave a {type(model).__name__}; a factory must return a torch.nn.Module"
        )
    return model
