"""The attack network of Nasr, Shokri and Houmansadr (IEEE S&P 2019), with their own training.

Sizes and their sources. V: read in the authors' code. C: recalled, and the authors' code agrees.
M: recalled from the paper, never checked.

- A component for a gradient: dropout .2, 1,000 kernels that span the layer's outputs, ReLU, dropout
  .2, linear layers 1024-512-128 (V, the federated code; 128-64 in the paper's appendix, M). For an
  output 100-64 (V), the label 128-64 (C), the loss 100-64 (V). ReLU behind every layer.
- The encoder: 256-128-64-1, then a sigmoid (C); no scalars beside the components.
- Weights from N(0, .01), biases 0 (C).
- Adam at 1e-4 (V), 100 epochs (C), batches of 64, half members (M), squared error (V).

Every snapshot has its own components in the paper; the authors' federated code shares one set (V),
which is `shared`.

What is ours: dropout falls on the two factors of a gradient and not on its elements (see
`components`); inputs are standardised on the records trained on, as nothing is known of theirs; and
the epoch is chosen on held-out known records, where the authors took the best on the tested ones.

It is large. Behind the 1,000 maps of a 256 wide last layer stand 262 million weights, which take
6.3 GB to train, for every snapshot. `memory` estimates what it would take before the simulation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adversaries.inference.components import Components, ComponentSettings
from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork
from adversaries.inference.network_layers import RecordLinear, draw_normal


@dataclass(frozen=True)
class PaperNetworkSettings:
    """Sizes of the paper's network; the defaults are theirs.

    Attributes
    ----------
    shared
        Whether one set of component weights serves all snapshots.
    kernels, gradient_widths, output_widths, loss_widths, label_widths
        As in `network.EncoderSettings`.
    encoder_widths
        Hidden widths of the encoder.
    dropout
        Before the convolution and behind it.
    initial_deviation
        Of the weights.
    """

    shared: bool = False
    kernels: int = 1000
    gradient_widths: tuple[int, ...] = (1024, 512, 128)
    output_widths: tuple[int, ...] = (100, 64)
    loss_widths: tuple[int, ...] = (100, 64)
    label_widths: tuple[int, ...] = (128, 64)
    encoder_widths: tuple[int, ...] = (256, 128, 64)
    dropout: float = 0.2
    initial_deviation: float = 0.01

    @property
    def vector_snapshots(self) -> None:
        """Its components read every snapshot."""
        return

    @property
    def components(self) -> ComponentSettings:
        """The sizes of the components."""
        return ComponentSettings(
            kernels=self.kernels,
            gradient_widths=self.gradient_widths,
            output_widths=self.output_widths,
            loss_widths=self.loss_widths,
            label_widths=self.label_widths,
            input_dropout=0.0,
            gradient_dropout=self.dropout,
            map_dropout=self.dropout,
            shared=self.shared,
        )

    def build(self, like: Inputs) -> "PaperNetwork":
        """Return a new network for inputs of these shapes."""
        return PaperNetwork(like, self)


class PaperNetwork(MembershipNetwork):
    """From the `Inputs` of N records to N membership logits, without the sigmoid behind them.

    Parameters
    ----------
    like
        Inputs whose shapes the network is made for.
    settings
        Its sizes.
    """

    def __init__(self, like: Inputs, settings: PaperNetworkSettings) -> None:
        super().__init__()
        self.components = Components(like, settings.components)
        layers: list[nn.Module] = []
        width_in = self.components.width
        for width in settings.encoder_widths:
            layers += [RecordLinear(width_in, width), nn.ReLU()]
            width_in = width
        self.encoder = nn.Sequential(*layers, RecordLinear(width_in, 1))
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                draw_normal(parameter, settings.initial_deviation)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the membership logits (N,); of a stack, (K, N)."""
        logits: Tensor = self.encoder(torch.cat(self.components(inputs), -1))
        return logits[..., 0]
