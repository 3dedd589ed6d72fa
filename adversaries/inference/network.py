"""The multi-snapshot attack network: one component a feature, one encoder over all snapshots.

The plan is that of Nasr, Shokri and Houmansadr (IEEE S&P 2019): a component for the gradient, the
outputs, the loss and the label, whose embeddings over all snapshots are concatenated and encoded
into one number. What differs is size and what stands beside the components: the scalars of
`features.SCALARS` and every layer's log gradient norm enter the encoder directly, because a few
well-scaled numbers say more about a record than long raw vectors when a few thousand records are
known. `NetworkSettings` holds the sizes; nothing else depends on them.

Tensors are snapshot first, (T, N, width), so that T components of their own cost one batched
product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adversaries.inference.inputs import Inputs
from fedsim.errors import ConfigError


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the attack network. Empty widths leave a component out.

    Attributes
    ----------
    kernels
        Kernels of the convolution over the last layer's gradient.
    gradient_widths
        Widths of the linear layers behind that convolution.
    output_widths, loss_widths, label_widths
        Widths of the layers of the components for outputs, loss and label.
    encoder_widths
        Hidden widths of the encoder.
    component_dropout
        Share of units dropped from the components' inputs and from their embeddings.
    encoder_dropout
        Share of units dropped behind each hidden layer of the encoder.
    shared
        Whether one set of component weights serves all snapshots (as in the authors' federated
        code) or each snapshot has its own (as in their paper).
    """

    kernels: int = 2
    gradient_widths: tuple[int, ...] = (4,)
    output_widths: tuple[int, ...] = (4,)
    loss_widths: tuple[int, ...] = (4,)
    label_widths: tuple[int, ...] = (4,)
    encoder_widths: tuple[int, ...] = (64,)
    component_dropout: float = 0.5
    encoder_dropout: float = 0.5
    shared: bool = False

    def __post_init__(self) -> None:
        widths = [
            self.kernels,
            *self.gradient_widths,
            *self.output_widths,
            *self.loss_widths,
            *self.label_widths,
            *self.encoder_widths,
        ]
        if min(widths) < 1:
            raise ConfigError(f"kernels and widths of the attack network start at 1: {widths}")
        for dropout in (self.component_dropout, self.encoder_dropout):
            if not 0 <= dropout < 1:
                raise ConfigError(f"a dropout is a share from 0 to below 1, not {dropout}")


class AttackNetwork(nn.Module):
    """From the `Inputs` of N records to N membership logits.

    Parameters
    ----------
    like
        Inputs whose shapes the network is made for.
    settings
        Its sizes.
    """

    def __init__(self, like: Inputs, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        snapshots, _, scalars = like.scalars.shape
        dropout = settings.component_dropout
        embedding = 0
        self.components = nn.ModuleDict()
        for name, values, widths in _vectors(like, settings):
            own = 1 if settings.shared else len(values)
            self.components[name] = component(own, values.shape[-1], widths, dropout)
            embedding += len(values) * widths[-1]
        self.gradient: GradientComponent | None = None
        if settings.gradient_widths:
            self.gradient = GradientComponent(like, settings)
            embedding += snapshots * settings.gradient_widths[-1]
        self.dropout = nn.Dropout(dropout)
        layers: list[nn.Module] = []
        width_in = embedding + snapshots * scalars
        for width in settings.encoder_widths:
            layers += [nn.Linear(width_in, width), nn.GELU(), nn.Dropout(settings.encoder_dropout)]
            width_in = width
        self.encoder = nn.Sequential(*layers, nn.Linear(width_in, 1))
        # The encoder need only learn what a logistic regression on the scalars does not say.
        self.logistic = nn.Linear(snapshots * scalars, 1)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the membership logits (N,)."""
        scalars = _by_record(inputs.scalars)
        embeddings = [
            _by_record(self.components[name](values))
            for name, values, _ in _vectors(inputs, self.settings)
        ]
        if self.gradient is not None:
            embeddings.append(_by_record(self.gradient(inputs.deltas, inputs.hidden)))
        seen = [scalars, *(self.dropout(embedding) for embedding in embeddings)]
        logits: Tensor = self.encoder(torch.cat(seen, 1)) + self.logistic(scalars)
        return logits[:, 0]

    def component_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all components: those that read raw vectors."""
        found = list(self.components.parameters())
        return found + (list(self.gradient.parameters()) if self.gradient is not None else [])

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the other parameters."""
        return [*self.encoder.parameters(), *self.logistic.parameters()]


def _vectors(
    inputs: Inputs, settings: NetworkSettings
) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """Give the vectors that have a component, with its name and widths."""
    if settings.loss_widths:
        yield "loss", inputs.losses, settings.loss_widths
    if settings.label_widths:
        yield "label", inputs.labels, settings.label_widths
    if settings.output_widths:
        for name, values in inputs.outputs.items():  # a module's name may not hold a dot
            yield f"output {name.replace('.', '/')}", values, settings.output_widths


def _by_record(values: Tensor) -> Tensor:
    """Return (N, T * width) of (T, N, width)."""
    return values.transpose(0, 1).flatten(1)


class SnapshotLinear(nn.Module):
    """A linear layer for each of T snapshots, or one (T = 1) for all: (T, N, in) to (T, N, out)."""

    def __init__(self, snapshots: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, width_out))
        nn.init.normal_(self.weight, std=width_in**-0.5)

    def forward(self, values: Tensor) -> Tensor:
        """Apply each snapshot's layer to its values."""
        return values @ self.weight + self.bias


class UnitDropout(nn.Module):
    """Dropout of a record's units, the same ones in all its snapshots.

    A unit that is dropped in one snapshot only could be read off the next; and one mask for all is
    T times cheaper to draw.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Drop units of (T, N, width) in training; change nothing otherwise."""
        if not self.training or self.share == 0:
            return values
        kept = torch.empty_like(values[:1]).bernoulli_(1 - self.share)
        return values * (kept / (1 - self.share))


def component(snapshots: int, width_in: int, widths: tuple[int, ...], dropout: float) -> nn.Module:
    """Return linear layers with dropout before and ReLU behind each."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [UnitDropout(dropout), SnapshotLinear(snapshots, width_in, width), nn.ReLU()]
        width_in = width
    return nn.Sequential(*layers)


class GradientConvolution(nn.Module):
    """The convolution over the last layer's gradient, computed without ever making the matrix.

    The gradient of the last layer's weight is the (C, H) matrix delta a^T. A kernel w that spans
    the C outputs and slides over the H inputs gives sum_c w_c delta_c a_h: all kernels at once are
    the outer product of (W delta) and a, exactly.
    """

    def __init__(self, snapshots: int, classes: int, kernels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(snapshots, classes, kernels))
        self.bias = nn.Parameter(torch.zeros(snapshots, 1, kernels, 1))
        nn.init.normal_(self.weight, std=classes**-0.5)

    def forward(self, deltas: Tensor, hidden: Tensor) -> Tensor:
        """Return (T, N, kernels, H) for deltas (T, N, C) and hidden (T, N, H)."""
        return (deltas @ self.weight)[..., None] * hidden[..., None, :] + self.bias


class GradientComponent(nn.Module):
    """Convolution over the last layer's gradient, then linear layers: (T, N, embedding).

    Dropout falls on delta and a, so on whole rows and columns of the gradient: to drop its elements
    would take the matrix.
    """

    def __init__(self, like: Inputs, settings: NetworkSettings) -> None:
        super().__init__()
        snapshots, _, hidden = like.hidden.shape
        own = 1 if settings.shared else snapshots
        self.dropout = UnitDropout(settings.component_dropout)
        self.convolution = GradientConvolution(own, like.deltas.shape[-1], settings.kernels)
        width_in = settings.kernels * hidden
        self.layers = component(own, width_in, settings.gradient_widths, dropout=0.0)

    def forward(self, deltas: Tensor, hidden: Tensor) -> Tensor:
        """Embed the gradients given by their two factors."""
        maps = self.convolution(self.dropout(deltas), self.dropout(hidden))
        embedded: Tensor = self.layers(maps.relu_().flatten(2))
        return embedded
