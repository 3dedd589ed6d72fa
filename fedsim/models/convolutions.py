"""Choosing the fastest implementation of a model's convolutions: torch's, by rows, channels last.

The choice depends on shapes and never on measured times, because implementations round differently
and figures must be reproducible. It is made once, before the simulation, and is recorded in the
resolved experiment (``engine.small_convolutions``, ``engine.channels_last``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.errors import ConfigError, listed
from fedsim.models.row_convolution import RowConv2d

_MOST_VALID = 0.5
"""The largest share of a kernel's products that are not with padding, for `RowConv2d` to pay."""
_FEWEST_WEIGHTS = 4096
"""The least number of weights per kernel position, as smaller products gain nothing."""
_MOST_CHANNELS = 64
_SMALLEST_MAP = 64  # positions


@dataclass(frozen=True)
class ConvolutionCall:
    """A call of a convolution: the layer, and the shape of its input."""

    name: str
    layer: nn.Conv2d
    height: int
    width: int


def record_convolution_calls(model: nn.Module, inputs: Tensor) -> list[ConvolutionCall]:
    """Return the calls of a model's convolutions on some records, in their order.

    Parameters
    ----------
    model
        The model, which runs in eval mode and is not changed.
    inputs
        A few records, in the form that the model takes.
    """
    found: list[ConvolutionCall] = []

    def note(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(layer: nn.Module, given: tuple[object, ...], _: object) -> None:
            if given and isinstance(given[0], Tensor) and isinstance(layer, nn.Conv2d):
                found.append(ConvolutionCall(name, layer, *given[0].shape[-2:]))

        return hook

    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    handles = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found


def small_convolutions(calls: Sequence[ConvolutionCall]) -> tuple[str, ...]:
    """Return the names of the layers for which `RowConv2d` is faster.

    These are the layers with maps so small that at least half of the products are with padding
    (3 x 3 kernels on 2 x 2 maps, 5 x 5 on 4 x 4), and with 4,096 weights or more for each position
    of the kernel.
    """
    layers = dict.fromkeys(call.name for call in calls)
    return tuple(
        name for name in layers if all(_gains_by_rows(call) for call in calls if call.name == name)
    )


def channels_last_pays(calls: Sequence[ConvolutionCall]) -> bool:
    """Return whether a model is faster in the memory format channels last.

    It is if no convolution has more than 64 input or output channels or a kernel above 3 x 3, and
    some map has 8 x 8 positions or more, as in ResNets for small images. Wide layers on small maps
    are slower.
    """
    narrow = all(
        max(call.layer.in_channels, call.layer.out_channels) <= _MOST_CHANNELS
        and max(call.layer.kernel_size) <= 3
        for call in calls
    )
    return narrow and any(call.height * call.width >= _SMALLEST_MAP for call in calls)


def prepare_model(
    new_model: Callable[[], nn.Module], small: Sequence[str], channels_last: bool
) -> nn.Module:
    """Return a new model with the chosen implementations of convolutions.

    Names, shapes and values of its parameters are those of `new_model`; their memory format may
    differ.

    Raises
    ------
    ConfigError
        If a name does not belong to a convolution that `RowConv2d` can compute.
    """
    model = new_model()
    layers = dict(model.named_modules())
    for name in small:
        layer = layers.get(name)
        if not isinstance(layer, nn.Conv2d) or not supports_row_convolution(layer):
            possible = [n for n, m in layers.items() if isinstance(m, nn.Conv2d)]
            raise ConfigError(
                f"engine.small_convolutions names {name!r}, which is no Conv2d of stride 1 that "
                f"keeps the size of its maps; the model's are {listed(possible) or 'none'}"
            )
        layer.__class__ = RowConv2d
        _turned(layer)
    if channels_last:
        for layer in layers.values():
            if isinstance(layer, nn.Conv2d):
                _turned(layer)
    return model


def supports_row_convolution(layer: nn.Conv2d) -> bool:
    """Return whether `RowConv2d` can compute a layer."""
    odd = all(size % 2 for size in layer.kernel_size)
    halves = tuple(size // 2 for size in layer.kernel_size)
    same = layer.padding == "same" or layer.padding == halves
    plain = type(layer) in (nn.Conv2d, RowConv2d) and layer.padding_mode == "zeros"
    ones = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1
    return plain and odd and same and ones


def _gains_by_rows(call: ConvolutionCall) -> bool:
    layer = call.layer
    if (
        not supports_row_convolution(layer)
        or layer.in_channels * layer.out_channels < _FEWEST_WEIGHTS
    ):
        return False
    valid = _pairs(layer.kernel_size[0], call.height) * _pairs(layer.kernel_size[1], call.width)
    products = layer.kernel_size[0] * layer.kernel_size[1] * call.height * call.width
    return valid <= _MOST_VALID * products


def _pairs(kernel: int, length: int) -> int:
    """Return the number of pairs of input and output positions of an axis within the kernel."""
    return sum(max(0, length - abs(apart)) for apart in range(-(kernel // 2), kernel // 2 + 1))


def _turned(layer: nn.Conv2d) -> None:
    """Change a layer's weight to the memory format channels last."""
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
