"""The components of the attack network: each embeds one feature of T snapshots.

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
from adversaries.inference.network_layers import (
    Dropout,
    SnapshotLinear,
    UnitDropout,
    draw_normal,
)


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
        Dropout rate before each layer of the components for outputs, loss and label.
    gradient_dropout
        Dropout rate for the rows and the columns of a gradient.
    map_dropout
        Dropout rate for the outputs of the convolution.
    shared
        Whether all snapshots share one set of component weights (as in the authors' federated
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
    """One component per feature, for each snapshot or shared: embeddings (N, width) of N records.

    Parameters
    ----------
    like
        Example inputs that define the shapes.
    settings
        Sizes of the components.
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
        """Return the embeddings of all features and snapshots, concatenated."""
        vectors, gradients = _vectors(inputs, self.settings), _gradients(inputs, self.settings)
        embeddings = [self.vectors[name](values) for name, values, _ in vectors]
        embeddings += [self.gradients[name](of) for name, of in gradients]
        return [by_record(embedding) for embedding in embeddings]

    @property
    def floats_per_record(self) -> int:
        """Number of convolution outputs for one record: most of the memory of a pass."""
        return sum(module.floats_per_record for module in self.gradients.values())  # type: ignore[misc]


def _vectors(
    inputs: Inputs, settings: ComponentSettings
) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """Yield the vectors that have a component, with its name and widths."""
    if settings.loss_widths and inputs.losses.shape[-1]:
        yield "loss", inputs.losses, settings.loss_widths
    if settings.label_widths and inputs.labels.shape[-1]:
        yield "label", inputs.labels, settings.label_widths
    if settings.output_widths:
        for name, values in inputs.outputs.items():
            yield f"output {_key(name)}", values, settings.output_widths


def _gradients(inputs: Inputs, settings: ComponentSettings) -> Iterator[tuple[str, GradientInputs]]:
    """Yield the gradients that have a component, with its name."""
    if settings.gradient_widths:
        for name, gradients in inputs.gradients.items():
            yield _key(name), gradients


def _key(layer: str) -> str:
    """Return a layer's name as part of a module's name, which may not contain a dot."""
    return layer.replace(".", "/")


def component(
    snapshots: int, width_in: int, widths: tuple[int, ...], dropout: nn.Module
) -> nn.Module:
    """Return linear layers, each preceded by dropout and followed by ReLU."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [dropout, SnapshotLinear(snapshots, width_in, width), nn.ReLU()]
        width_in = width
    return nn.Sequential(*layers)


class GradientConvolution(nn.Module):
    """The convolution over a layer's gradient, computed from its factored form.

    The gradient of the last layer's weight is the (C, F) matrix delta a^T. A kernel w that spans
    the C outputs and slides over the F inputs computes sum_c w_c delta_c a_f: all kernels together
    give exactly the outer product of (W^T delta) and a. For convolutional layers it is a sum of
    such products over the positions.
    """

    def __init__(self, snapshots: int, fan_out: int, kernels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, fan_out, kernels))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, kernels, 1))
        draw_normal(self.weight, fan_out**-0.5)

    def forward(self, gradients: GradientInputs) -> Tensor:
        """Return (T, N, kernels, F)."""
        return gradients.projected(self.weight) + self.bias


class GradientComponent(nn.Module):
    """Convolution over a layer's gradient, then linear layers: (T, N, embedding).

    Dropout acts on the factors of the gradient, and so on whole rows and columns: dropping single
    elements would require the matrix.
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
