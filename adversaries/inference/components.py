"""The components of the attack network: from one feature on T snapshots to an embedding of each.

Tensors are snapshot first, (T, N, width), so that T components of their own cost one batched
product. In a stack of networks (see `network_stack`) the networks stand before the snapshots:
(K, T, N, width). Shapes below leave that dimension out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adversaries.inference.gradient_inputs import GradientInputs
from adversaries.inference.inputs import Inputs, by_record
from adversaries.inference.network_layers import Dropout, SnapshotLinear, UnitDropout


@dataclass(frozen=True)
class ComponentSettings:
    """Sizes of the components. Empty widths leave a component out.

    Attributes
    ----------
    kernels
        Kernels of the convolution over a layer's gradient.
    gradient_widths
        Widths of the linear layers behind that convolution.
    output_widths, loss_widths, label_widths
        Widths of the layers of the components for outputs, loss and label.
    input_dropout
        Share of units dropped before each layer of the components for outputs, loss and label.
    gradient_dropout
        Share of rows and of columns of a gradient that are dropped.
    map_dropout
        Share of the convolution's results that are dropped.
    shared
        Whether one set of component weights serves all snapshots (as in the authors' federated
        code) or each snapshot has its own (as in their paper).
    """

    kernels: int
    gradient_widths: tuple[int, ...]
    output_widths: tuple[int, ...]
    loss_widths: tuple[int, ...]
    label_widths: tuple[int, ...]
    input_dropout: float
    gradient_dropout: float
    map_dropout: float
    shared: bool


class Components(nn.Module):
    """One component a feature, for each snapshot or for all: embeddings (N, width) of N records.

    Parameters
    ----------
    like
        Inputs whose shapes they are made for.
    settings
        Their sizes.
    """

    def __init__(self, like: Inputs, settings: ComponentSettings) -> None:
        super().__init__()
        self.settings = settings
        self.width = 0
        self.vectors = nn.ModuleDict()
        for name, values, widths in _vectors(like, settings):
            own = 1 if settings.shared else len(values)
            self.vectors[name] = component(
                own, values.shape[-1], widths, UnitDropout(settings.input_dropout)
            )
            self.width += len(values) * widths[-1]
        self.gradients = nn.ModuleDict()
        for name, gradients in _gradients(like, settings):
            self.gradients[name] = GradientComponent(gradients, settings)
            self.width += gradients.size[0] * settings.gradient_widths[-1]

    def forward(self, inputs: Inputs) -> list[Tensor]:
        """Return the embeddings of every feature, over all snapshots side by side."""
        vectors, gradients = _vectors(inputs, self.settings), _gradients(inputs, self.settings)
        embeddings = [self.vectors[name](values) for name, values, _ in vectors]
        embeddings += [self.gradients[name](of) for name, of in gradients]
        return [by_record(embedding) for embedding in embeddings]

    @property
    def floats_per_record(self) -> int:
        """How many numbers the convolutions give of one record: most of a pass's memory."""
        return sum(module.floats_per_record for module in self.gradients.values())  # type: ignore[misc]


def _vectors(
    inputs: Inputs, settings: ComponentSettings
) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """Give the vectors that have a component, with its name and widths."""
    if settings.loss_widths and inputs.losses.shape[-1]:
        yield "loss", inputs.losses, settings.loss_widths
    if settings.label_widths and inputs.labels.shape[-1]:
        yield "label", inputs.labels, settings.label_widths
    if settings.output_widths:
        for name, values in inputs.outputs.items():
            yield f"output {_key(name)}", values, settings.output_widths


def _gradients(inputs: Inputs, settings: ComponentSettings) -> Iterator[tuple[str, GradientInputs]]:
    """Give the gradients that have a component, with its name."""
    if settings.gradient_widths:
        for name, gradients in inputs.gradients.items():
            yield _key(name), gradients


def _key(layer: str) -> str:
    """Return a layer's name as a part of a module's name, which may not hold a dot."""
    return layer.replace(".", "/")


def component(
    snapshots: int, width_in: int, widths: tuple[int, ...], dropout: nn.Module
) -> nn.Module:
    """Return linear layers with dropout before and ReLU behind each."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [dropout, SnapshotLinear(snapshots, width_in, width), nn.ReLU()]
        width_in = width
    return nn.Sequential(*layers)


class GradientConvolution(nn.Module):
    """The convolution over a layer's gradient, computed from the form in which it is kept.

    The gradient of the last layer's weight is the (C, F) matrix delta a^T. A kernel w that spans
    the C outputs and slides over the F inputs gives sum_c w_c delta_c a_f: all kernels at once are
    the outer product of (W^T delta) and a, exactly. Convolutional layers have a sum of such
    products, one a position.
    """

    def __init__(self, snapshots: int, fan_out: int, kernels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, fan_out, kernels))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, kernels, 1))
        nn.init.normal_(self.weight, std=fan_out**-0.5)

    def forward(self, gradients: GradientInputs) -> Tensor:
        """Return (T, N, kernels, F)."""
        return gradients.projected(self.weight) + self.bias


class GradientComponent(nn.Module):
    """Convolution over a layer's gradient, then linear layers: (T, N, embedding).

    Dropout falls on the gradient's factors, so on whole rows and columns of it: to drop its
    elements would take the matrix.
    """

    def __init__(self, like: GradientInputs, settings: ComponentSettings) -> None:
        super().__init__()
        snapshots, fan_out, fan_in = like.size
        own = 1 if settings.shared else snapshots
        self.dropout = UnitDropout(settings.gradient_dropout)
        self.convolution = GradientConvolution(own, fan_out, settings.kernels)
        self.map_dropout = Dropout(settings.map_dropout)
        width_in = settings.kernels * fan_in
        self.layers = component(own, width_in, settings.gradient_widths, UnitDropout(0.0))
        self.floats_per_record = snapshots * width_in

    def forward(self, gradients: GradientInputs) -> Tensor:
        """Embed the gradients."""
        maps = self.convolution(gradients.dropped(self.dropout))
        embedded: Tensor = self.layers(self.map_dropout(maps.relu_().flatten(-2)))
        return embedded
