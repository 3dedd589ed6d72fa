"""Specification of the features of a snapshot; features that are not named are not computed.

Attacks declare `fedsim.Needs`; `needed_features` makes the spec of them.
"""

from dataclasses import dataclass, replace
from typing import Literal

from fedsim.errors import FedsimError


@dataclass(frozen=True)
class FeatureSpec:
    """Which features of a snapshot are wanted, and how they are computed.

    Labels, losses and the scalars of the model's output are always extracted. With `gradient_norms`
    and `gradients` empty, extraction costs one forward pass of any module.

    Attributes
    ----------
    output
        Whether the model's output is kept.
    last_layer_gradient
        Whether the input of the last layer, the gradient of its output and its two scalars are
        kept. They are there where the model's output is that of a Linear layer.
    last_layer_scalars
        Whether its two scalars are kept, also without the vectors that they follow from.
    last_layer
        Name of the Linear layer whose output is the model's; None finds it.
    outputs
        Names of further modules whose outputs are kept, flattened (hidden layers).
    gradient_norms
        Names of the layers whose per-record gradient norm is kept, or "all" trainable ones.
    gradients
        Names of layers, beside the last one, whose per-record weight gradients are kept.
    precision
        Arithmetic of the forward and backward pass. The last layer is always computed in the
        model's own precision, from its input.
    batch_size
        Records per pass.
    """

    last_layer: str | None = None
    outputs: tuple[str, ...] = ()
    gradient_norms: tuple[str, ...] | Literal["all"] = "all"
    gradients: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: int = 250
    output: bool = True
    last_layer_gradient: bool = True
    last_layer_scalars: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise FedsimError(f"the feature batch size must be at least 1, not {self.batch_size}")

    @property
    def reads_last_layer(self) -> bool:
        """Whether the scalars of the last layer are kept."""
        return self.last_layer_gradient or self.last_layer_scalars

    @property
    def needs_layers(self) -> bool:
        """Whether anything inside the model is looked at, beside its output."""
        return bool(self.reads_last_layer or self.outputs or self.gradient_norms or self.gradients)

    def joined(self, other: "FeatureSpec") -> "FeatureSpec":
        """Return what holds the features of both, computed as these; layers by name are these."""
        return replace(
            self,
            output=self.output or other.output,
            last_layer_gradient=self.last_layer_gradient or other.last_layer_gradient,
            last_layer_scalars=self.last_layer_scalars or other.reads_last_layer,
            gradient_norms="all" if other.gradient_norms == "all" else self.gradient_norms,
        )

    def covers(self, other: "FeatureSpec") -> bool:
        """Return whether features of this kind hold all that `other` asks for, computed alike."""
        alike = (self.precision, self.batch_size) == (other.precision, other.batch_size)
        norms = self.gradient_norms == "all" or (
            other.gradient_norms != "all" and {*other.gradient_norms} <= {*self.gradient_norms}
        )
        return (
            alike
            and norms
            and (self.last_layer == other.last_layer or not other.reads_last_layer)
            and self.output >= other.output
            and self.last_layer_gradient >= other.last_layer_gradient
            and self.reads_last_layer >= other.reads_last_layer
            and {*other.outputs} <= {*self.outputs}
            and {*other.gradients} <= {*self.gradients}
        )
