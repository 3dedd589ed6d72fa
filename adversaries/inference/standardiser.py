"""Standardised inputs of an attack network.

What a value means depends on its spread among the records whose membership is known, so every
column is standardised by the records that a network is trained on, and by those only. Gradients are
scaled but not centred: the product of two factors stays a gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from adversaries.inference.gradient_inputs import GradientInputs
from adversaries.inference.inputs import Inputs

_FARTHEST = 5.0  # standard deviations; what lies farther out is moved there


@dataclass(frozen=True)
class Standardiser:
    """Columns' means and scales of a set of records; (T, 1, width) each."""

    means: Inputs
    scales: Inputs

    @classmethod
    def fit(cls, inputs: Inputs) -> "Standardiser":
        """Take the means and scales of these records."""
        none, one = torch.zeros(1), torch.ones(1)
        means = Inputs(
            scalars=_mean(inputs.scalars),
            losses=_mean(inputs.losses),
            outputs={name: _mean(values) for name, values in inputs.outputs.items()},
            labels=none,
            gradients={},
            reactions=_mean(inputs.reactions),
        )
        scales = Inputs(
            scalars=_deviation(inputs.scalars),
            losses=_deviation(inputs.losses),
            outputs={name: _deviation(values) for name, values in inputs.outputs.items()},
            labels=one,
            gradients={
                name: of.replaced(*map(_root_mean_square, of.parts))
                for name, of in inputs.gradients.items()
            },
            reactions=_deviation(inputs.reactions),
        )
        return cls(means, scales)

    def apply(self, inputs: Inputs) -> Inputs:
        """Return the records' standardised columns."""
        means, scales = self.means, self.scales

        def scaled(values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
            return ((values - mean) / scale).clamp(-_FARTHEST, _FARTHEST)

        def divided(name: str, of: GradientInputs) -> GradientInputs:
            sides = zip(of.parts, scales.gradients[name].parts, strict=True)
            return of.replaced(*(part / scale for part, scale in sides))

        return Inputs(
            scalars=scaled(inputs.scalars, means.scalars, scales.scalars),
            losses=scaled(inputs.losses, means.losses, scales.losses),
            outputs={
                name: scaled(values, means.outputs[name], scales.outputs[name])
                for name, values in inputs.outputs.items()
            },
            labels=inputs.labels,
            gradients={name: divided(name, of) for name, of in inputs.gradients.items()},
            reactions=scaled(inputs.reactions, means.reactions, scales.reactions),
        )


def _mean(values: Tensor) -> Tensor:
    return values.mean(1, keepdim=True)


def _deviation(values: Tensor) -> Tensor:
    """Return the standard deviation of every column; 1 for one that does not vary."""
    if not values.numel():  # no snapshot, or no column
        return torch.ones_like(values[:, :1])
    found = values.std(1, correction=0, keepdim=True)
    return torch.where(found > 0, found, 1.0)


def _root_mean_square(values: Tensor) -> Tensor:
    """Return one scale per snapshot for all columns together, (T, 1, ...)."""
    found = values.square().mean(tuple(range(1, values.dim())), keepdim=True).sqrt()
    return torch.where(found > 0, found, 1.0)
