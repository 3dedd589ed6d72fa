"""Clipping with the per-sample gradients of Opacus: any model that it can follow, at their price.

Every record's whole gradient is written down (`GradSampleModule`): by Opacus' rules, and by
``torch.func`` for layers without one. Tied parameters and layers that are called several times, as
those of its recurrent networks, are summed.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fedsim.training.clipping.base import Clipping

_LEFT_BEHIND = ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample")


class SampleClipping(Clipping):
    """Clips what Opacus has written down."""

    def __enter__(self) -> "SampleClipping":
        """Put Opacus' hooks on the model, and return."""
        from opacus.grad_sample import GradSampleModule

        self._private: Any = GradSampleModule(self.model, loss_reduction="mean")
        return self

    def __exit__(self, *raised: Any) -> None:
        """Take them off again."""
        self._private.to_standard_module()
        for parameter in self.model.parameters():
            for name in _LEFT_BEHIND:
                if hasattr(parameter, name):
                    delattr(parameter, name)

    def squared_norms(self, loss: Tensor, count: int) -> Tensor:
        """Go back from a loss, and return each record's squared gradient norm, shape (count,)."""
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self.parameters:
            parameter.grad = None  # that of the whole batch
        each = [value.flatten(1) for value in self._samples().values()]
        return torch.stack([(one * one).sum(1) for one in each]).sum(0)

    def weighted_sum(self, weights: Tensor) -> dict[nn.Parameter, Tensor]:
        """Return the sum over records of weight times gradient, and forget the gradients."""
        sums = {
            parameter: (weights @ value.flatten(1)).view_as(parameter)
            for parameter, value in self._samples().items()
        }
        for parameter in self.parameters:
            parameter.grad_sample = None  # type: ignore[attr-defined]
        return sums

    def _samples(self) -> dict[nn.Parameter, Tensor]:
        found = {p: getattr(p, "grad_sample", None) for p in self.parameters}
        return {p: value for p, value in found.items() if value is not None}
