"""One layer's gradients of single records: as little of them as clipping needs.

Clipping needs each record's norm and, once the norms of all layers are known, one weighted sum over
the records. Both are found from what the layer was given and the gradient with respect to what it
returned, in one pass back ("book-keeping": Bu, Wang, Zha and Karypis, "Differentially Private
Optimization on Large Model at Small Cost", ICML 2023); a gradient a record is written down only
where that is the cheaper way to its norm.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import singledispatch

import torch
from torch import Tensor, nn

from fedsim.training.clipping.base import ClippingDoesNotApplyError


class RecordGradients(ABC):
    """The gradients of n records with respect to a layer's trainable parameters."""

    @abstractmethod
    def squared_norms(self) -> Tensor:
        """Return the squared norm over all of them, shape (n,)."""

    @abstractmethod
    def weighted_sum(self, weights: Tensor) -> Mapping[str, Tensor]:
        """Return the sum of weight, shape (n,), times gradient, by the parameter's name."""


@singledispatch
def record_gradients(layer: nn.Module, inputs: Tensor, deltas: Tensor) -> RecordGradients:
    """Return the gradients of one call of a layer; the rule is chosen by the layer's type.

    Parameters
    ----------
    layer
        The layer.
    inputs, deltas
        What it was given, and the gradient of each record's own loss with respect to what it
        returned; both with the records first.
    """
    return WrittenDown.by_opacus(layer, inputs, deltas)


class WrittenDown(RecordGradients):
    """Gradients that are written down, a tensor of shape (n, ...) a parameter."""

    def __init__(self, gradients: Mapping[str, Tensor]) -> None:
        self.gradients = gradients

    @classmethod
    def by_opacus(cls, layer: nn.Module, inputs: Tensor, deltas: Tensor) -> "WrittenDown":
        """Return them from the rule that Opacus has for this type of layer.

        Raises
        ------
        ClippingDoesNotApplyError
            If it has none.
        """
        if (rule := opacus_rules().get(type(layer))) is None:
            raise ClippingDoesNotApplyError(f"no rule for layers of type {type(layer).__name__}")
        names = {parameter: name for name, parameter in layer.named_parameters(recurse=False)}
        found = rule(layer, [inputs], deltas)
        return cls({names[p]: value for p, value in found.items() if p.requires_grad})

    def squared_norms(self) -> Tensor:
        """Return the squared norms, shape (n,)."""
        each = [value.flatten(1) for value in self.gradients.values()]
        return torch.stack([(one * one).sum(1) for one in each]).sum(0)

    def weighted_sum(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the sums."""
        return {
            name: (weights @ value.flatten(1)).view(value.shape[1:])
            for name, value in self.gradients.items()
        }


def opacus_rules() -> Mapping[type[nn.Module], Callable[..., Mapping[nn.Parameter, Tensor]]]:
    """Return Opacus' rules by the type of layer."""
    from opacus.grad_sample import GradSampleModule

    rules: Mapping[type[nn.Module], Callable[..., Mapping[nn.Parameter, Tensor]]] = (
        GradSampleModule.GRAD_SAMPLERS
    )
    return rules


def has_rule(layer: nn.Module) -> bool:
    """Return whether there is a rule for this type of layer, here or in Opacus."""
    default = record_gradients.dispatch(object)
    return record_gradients.dispatch(type(layer)) is not default or type(layer) in opacus_rules()
