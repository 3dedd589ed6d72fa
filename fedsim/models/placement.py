"""Models on the device of an experiment."""

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import nn

from fedsim.devices import CPU, chosen_device, prepare
from fedsim.errors import ConfigError


def placed_model(new_model: Callable[[], nn.Module], device: str) -> nn.Module:
    """Return a new model on a device: its parameters were drawn on the CPU.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    found = chosen_device(device)
    prepare(found)
    return new_model().to(found)


def device_here(name: str) -> torch.device:
    """Return the device of a resolved experiment if it is here, else the CPU.

    The process that leads a cluster may have no GPU where those of the participants have.
    """
    if name == "auto":
        return CPU
    with suppress(ConfigError):
        return chosen_device(name)
    return CPU
