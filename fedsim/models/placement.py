"""Models on the device of an experiment."""

from collections.abc import Callable

from torch import nn

from fedsim.devices import chosen_device, prepare


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
