"""Which way the convolutions of a model are computed: torch's own, by rows, or channels last.

The choice goes by shapes and never by the clock, as it decides the last digits. It is made once,
before the simulation, and stands in the resolved experiment (``engine.small_convolutions``,
``engine.channels_last``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.errors import ConfigError, listed
from fedsim.models.row_convolution import RowConv2d

_MOST_VALID = 0.5
"""By rows, if at most this share of a kernel's products is with positions of the map."""
_FEWEST_WEIGHTS = 4096
"""Of a kernel's position: fewer make products that are too small to gain."""
_MOST_CHANNELS = 64
_SMALLEST_MAP = 64  # positions


@dataclass(frozen=True)
class ConvolutionCall:
    """A layer, and the map that it was given."""

    name: str
    layer: nn.Conv2d
    height: int
    width: int


def convolution_calls(model: nn.Module, inputs: Tensor) -> list[ConvolutionCall]:
    """Return the calls of a model's convolutions on some records, in their order.

    Parameters
    ----------
    model
        Is left as it is; it runs in eval mode.
    inputs
        A few records, as the model takes them.
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
    """Return the names of the layers that are quicker by rows.

    Those whose maps are so small that at least half of the products are with padding (3 x 3 on maps
    of 2 x 2, 5 x 5 on 4 x 4), with 4,096 weights or more for each position of the kernel.
    """
    layers = dict.fromkeys(call.name for call in calls)
    return tuple(
        name for name in layers if all(_gains_by_rows(call) for call in calls if call.name == name)
    )


def channels_last_pays(calls: Sequence[ConvolutionCall]) -> bool:
    """Return whether a model is quicker with its channels last.

    Where no convolution has more than 64 channels on either side, or a kernel above 3 x 3, and some
    map has 8 x 8 positions or more: ResNets for small images. Wide layers on small maps are slower.
    """
    narrow = all(
        max(call.layer.in_channels, call.layer.out_channels) <= _MOST_CHANNELS
        and max(call.layer.kernel_size) <= 3
        for call in calls
    )
    return narrow and any(call.height * call.width >= _SMALLEST_MAP for call in calls)


def prepared_model(
    new_model: Callable[[], nn.Module], small: Sequence[str], channels_last: bool
) -> nn.Module:
    """Return a new model whose convolutions are computed in the chosen ways.

    Names, shapes and values of its parameters are those of `new_model`; how they lie in memory is
    not.

    Raises
    ------
    ConfigError
        If a name is not that of a convolution that can be computed by rows.
    """
    model = new_model()
    layers = dict(model.named_modules())
    for name in small:
        layer = layers.get(name)
        if not isinstance(layer, nn.Conv2d) or not can_go_by_rows(layer):
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


def can_go_by_rows(layer: nn.Conv2d) -> bool:
    """Return whether `RowConv2d` computes what a layer does."""
    odd = all(size % 2 for size in layer.kernel_size)
    halves = tuple(size // 2 for size in layer.kernel_size)
    same = layer.padding == "same" or layer.padding == halves
    plain = type(layer) in (nn.Conv2d, RowConv2d) and layer.padding_mode == "zeros"
    ones = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1
    return plain and odd and same and ones


def _gains_by_rows(call: ConvolutionCall) -> bool:
    layer = call.layer
    if not can_go_by_rows(layer) or layer.in_channels * layer.out_channels < _FEWEST_WEIGHTS:
        return False
    valid = _pairs(layer.kernel_size[0], call.height) * _pairs(layer.kernel_size[1], call.width)
    products = layer.kernel_size[0] * layer.kernel_size[1] * call.height * call.width
    return valid <= _MOST_VALID * products


def _pairs(kernel: int, length: int) -> int:
    """Return how many pairs of positions of an axis see each other."""
    return sum(max(0, length - abs(apart)) for apart in range(-(kernel // 2), kernel // 2 + 1))


def _turned(layer: nn.Conv2d) -> None:
    """Let the channels of a layer's weight lie next to each other."""
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
