"""The layer that reads the raw features of a record, in which a server can plant units.

A linear layer on the features themselves, with an activation behind it that has no slope for most
records: below 0 (ReLU), or far from 0 (tanh, whose slope is exactly 0 in single precision from 9
on). The weights of a unit move only by records for which it has a slope, however many local steps
there are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adversaries.inference.model_layers import evaluating
from fedsim.errors import FedsimError

SATURATED = 9.1
"""From where on the slope of tanh is 0 in single precision."""


@dataclass(frozen=True)
class EntryLayer:
    """The first layer of a model that reads records as they are.

    Attributes
    ----------
    name
        Of the linear layer.
    following
        Name of the linear layer that reads its activations; None if there is none.
    units, inputs
        Its shape.
    saturates
        Whether a unit is silent on both sides (tanh), or below 0 only (ReLU).
    before_output
        Whether the layer that reads them gives the model's output.
    """

    name: str
    following: str | None
    units: int
    inputs: int
    saturates: bool
    before_output: bool = False

    @property
    def weight(self) -> str:
        """The name of its weights (units, inputs)."""
        return f"{self.name}.weight"

    @property
    def bias(self) -> str:
        """The name of its biases (units,)."""
        return f"{self.name}.bias"

    @property
    def outgoing(self) -> str | None:
        """The name of the weights (outputs, units) that read its activations."""
        return None if self.following is None else f"{self.following}.weight"

    @property
    def next_bias(self) -> str | None:
        """The name of the biases (outputs,) behind those."""
        return None if self.following is None else f"{self.following}.bias"

    def has_slope(self, sums: Tensor) -> Tensor:
        """Return where units have a slope, of their weighted sums (N, units)."""
        return sums.abs() < SATURATED if self.saturates else sums > 0


def entry_layer(model: nn.Module, examples: Tensor, who: str) -> EntryLayer:
    """Return the entry layer of a model.

    Parameters
    ----------
    model, examples
        The model, and a few records as it takes them.
    who
        Needs it: the beginning of the sentence if there is none.

    Raises
    ------
    FedsimError
        If the first layer is another one.
    """
    layers: list[tuple[str, nn.Module, Tensor]] = []

    def note(name: str) -> torch.utils.hooks.RemovableHandle:
        module = model.get_submodule(name)

        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            if not isinstance(module, nn.Flatten | nn.Identity | nn.Dropout):
                layers.append((name, module, given[0]))

        return module.register_forward_hook(hook)

    hooks = [note(name) for name, m in model.named_modules() if name and not list(m.children())]
    try:
        with evaluating(model), torch.no_grad():
            model(examples)
    finally:
        for one in hooks:
            one.remove()
    if len(layers) > 1:
        (name, first, given), (_, second, _), *rest = layers
        alike = given.shape == examples.flatten(1).shape and torch.equal(given, examples.flatten(1))
        behind = isinstance(second, nn.ReLU | nn.Tanh)
        if isinstance(first, nn.Linear) and first.bias is not None and alike and behind:
            third = rest[0] if rest else None
            reads = third is not None and isinstance(third[1], nn.Linear)
            return EntryLayer(
                name,
                third[0] if third is not None and reads else None,
                first.out_features,
                first.in_features,
                isinstance(second, nn.Tanh),
                before_output=reads and len(rest) == 1,
            )
    raise FedsimError(
        f"{who} plants units into a linear layer with biases that reads a record's features as "
        "they are, with ReLU or tanh behind it, and this model does not begin with one; take a "
        "model such as fully-connected"
    )
