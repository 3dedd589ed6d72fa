"""The multi-snapshot attack network: one component a feature, one encoder over all snapshots.

The architecture is that of Nasr, Shokri and Houmansadr (IEEE S&P 2019): a component for each
gradient, output, the loss and the label, whose embeddings over all snapshots are concatenated and
encoded into one number. It differs in size and in additional inputs: the scalars of
`features.SCALARS` and every layer's log gradient norm enter the encoder directly, because with a
few thousand known records a few well-scaled scalars are more informative than long raw vectors.
`NetworkSettings` holds the sizes; `paper_network` is the paper's own network.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adversaries.inference.components import Components, ComponentSettings
from adversaries.inference.inputs import Inputs
from adversaries.inference.network_layers import Dropout, RecordLinear
from fedsim.errors import ConfigError

MOST_FLOATS = 2**28
"""How many numbers the convolutions may give in a pass without gradients: 1 GB."""


class MembershipNetwork(nn.Module):
    """From the `Inputs` of N records to N membership logits; what training needs to know of it."""

    components: Components

    def component_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all components: those that read raw vectors."""
        return list(self.components.parameters())

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the other parameters."""
        return [p for name, p in self.named_parameters() if not name.startswith("components.")]


def membership_logits(
    network: MembershipNetwork, inputs: Inputs, parameters: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return logits (N,) without dropout, of as many records per pass as memory allows.

    Those of a stack of K are (K, N). With `parameters` they are those of the same layers with other
    parameters.
    """

    def logits(some: Inputs) -> Tensor:
        found: Tensor = functional_call(network, dict(parameters or {}), (some,))
        return found

    stacked = inputs.scalars.dim() - 3
    floats = network.components.floats_per_record * math.prod(inputs.scalars.shape[:stacked])
    at_once = max(1, MOST_FLOATS // max(1, floats))
    network.eval()
    with torch.no_grad():
        if len(inputs) <= at_once:
            return logits(inputs)
        starts = range(0, len(inputs), at_once)
        return torch.cat([logits(inputs.between(start, start + at_once)) for start in starts], -1)


class NetworkPlan(Protocol):
    """Sizes that a network can be made of."""

    @property
    def vector_snapshots(self) -> int | None:
        """From how many of the last snapshots its components read; None for all."""

    def build(self, like: Inputs) -> MembershipNetwork:
        """Return a new network for inputs of these shapes, drawn from torch's global generator."""


WIDEST = 1_000_000
"""What is wider is a typing error, and is not tried."""


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of the attack network. Empty widths leave a component out.

    Attributes
    ----------
    kernels
        Kernels of the convolution over a layer's gradient.
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
        components = ("gradient_widths", "output_widths", "loss_widths", "label_widths")
        for name in ("kernels", *components, "encoder_widths"):
            given = getattr(self, name)
            widths = given if isinstance(given, tuple) else (given,)
            if not all(1 <= width <= WIDEST for width in widths):
                raise ConfigError(
                    f"{name} of the attack network must be from 1 to {WIDEST:,}, not {given}"
                )
        for name in ("component_dropout", "encoder_dropout"):
            if not 0 <= (dropout := getattr(self, name)) < 1:
                raise ConfigError(f"{name} is a share from 0 to below 1, not {dropout}")

    @property
    def components(self) -> ComponentSettings:
        """The sizes of the components."""
        return ComponentSettings(
            kernels=self.kernels,
            gradient_widths=self.gradient_widths,
            output_widths=self.output_widths,
            loss_widths=self.loss_widths,
            label_widths=self.label_widths,
            input_dropout=self.component_dropout,
            gradient_dropout=self.component_dropout,
            map_dropout=0.0,
            shared=self.shared,
        )

    def build(self, like: Inputs) -> "AttackNetwork":
        """Return a new network for inputs of these shapes."""
        return AttackNetwork(like, self)


@dataclass(frozen=True)
class NetworkSettings(EncoderSettings):
    """Sizes of the attack network, and how much of what was seen its components read.

    Attributes
    ----------
    kernels, gradient_widths, output_widths, loss_widths, label_widths, encoder_widths, \
component_dropout, encoder_dropout, shared
        As in `network.EncoderSettings`.
    vector_snapshots
        From how many of the last snapshots the components read; None for all. The scalars are read
        from all. Components are nearly all of the work, and add little beyond the last few.
    """

    vector_snapshots: int | None = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vector_snapshots is not None and self.vector_snapshots < 1:
            raise ConfigError(f"vector_snapshots is at least 1, not {self.vector_snapshots}")


class AttackNetwork(MembershipNetwork):
    """From the `Inputs` of N records to N membership logits.

    Parameters
    ----------
    like
        Inputs whose shapes the network is made for.
    settings
        Its sizes.
    """

    def __init__(self, like: Inputs, settings: EncoderSettings) -> None:
        super().__init__()
        self.components = Components(like, settings.components)
        self.dropout = Dropout(settings.component_dropout)
        scalars = like.summary.shape[1]
        layers: list[nn.Module] = []
        width_in = self.components.width + scalars
        for width in settings.encoder_widths:
            layers += [RecordLinear(width_in, width), nn.GELU(), Dropout(settings.encoder_dropout)]
            width_in = width
        self.encoder = nn.Sequential(*layers, RecordLinear(width_in, 1))
        # The encoder need only learn what a logistic regression on the scalars does not say.
        self.logistic = RecordLinear(scalars, 1) if scalars else None

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the membership logits (N,); of a stack, (K, N)."""
        scalars = inputs.summary
        embeddings = self.components(inputs)
        seen = [scalars, *(self.dropout(embedding) for embedding in embeddings)]
        logits: Tensor = self.encoder(torch.cat(seen, -1))
        if self.logistic is not None:
            logits = logits + self.logistic(scalars)
        return logits[..., 0]
