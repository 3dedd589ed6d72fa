"""Per-record gradients of any layer without a rule: by `torch.func`, or record by record.

`vmap` over `grad` of `functional_call` computes each record's gradient of any parameters. Models
that `vmap` cannot trace (packed sequences, data-dependent control flow) are processed one record at
a time. Both ways are exact; docs/gradient-rules.md has their cost.
"""

import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

_FLOATS_A_PASS = 2**24  # of the gradients of one pass: 64 MB

Parameters = Mapping[str, Tensor]


class GeneralGradients:
    """The gradients of some parameters of a model for each record.

    Parameters
    ----------
    model
        In eval mode wherever this is used.
    parameters
        Those whose gradients are wanted, by the names that ``named_parameters`` gives them.
    vectorised
        Whether `vmap` is tried. Once it fails on a model it is not tried again.
    """

    def __init__(self, model: nn.Module, parameters: Parameters, vectorised: bool = True) -> None:
        self.model = model
        self.parameters = parameters
        self.vectorised = vectorised
        weights = sum(parameter.numel() for parameter in parameters.values())
        self.records_a_pass = max(1, _FLOATS_A_PASS // max(weights, 1))

    def of(self, inputs: Tensor, direction: Tensor) -> Iterator[dict[str, Tensor]]:
        """Give the gradients (n, then the parameter's own shape) of a few records at a time.

        Parameters
        ----------
        inputs
            N records, as the model takes them.
        direction
            (N, ...): the gradient of each record's loss with respect to the model's output.
        """
        size = self.records_a_pass
        for start in range(0, len(inputs), size):
            yield self._of_few(inputs[start : start + size], direction[start : start + size])

    def _of_few(self, inputs: Tensor, direction: Tensor) -> dict[str, Tensor]:
        if self.vectorised:
            try:
                return self._vectorised(inputs, direction)
            except (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError):
                self.vectorised = False
        one_by_one = [
            self._of_one(inputs[n : n + 1], direction[n : n + 1]) for n in range(len(inputs))
        ]
        return {name: torch.stack([one[name] for one in one_by_one]) for name in self.parameters}

    def _vectorised(self, inputs: Tensor, direction: Tensor) -> dict[str, Tensor]:
        moving = {name: parameter.detach() for name, parameter in self.parameters.items()}

        def along(moving: dict[str, Tensor], record: Tensor, towards: Tensor) -> Tensor:
            output = functional_call(self.model, moving, (record[None],))
            total: Tensor = (output[0] * towards).sum()
            return total

        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            # Some operations have no batched form and are repeated, record by record, inside.
            warnings.filterwarnings("ignore", "There is a performance drop")
            found: dict[str, Tensor] = vmap(grad(along), in_dims=(None, 0, 0))(
                moving, inputs, direction
            )
        return found

    def _of_one(self, inputs: Tensor, direction: Tensor) -> dict[str, Tensor]:
        with torch.enable_grad():
            output = self.model(inputs)
            if not output.requires_grad:
                return {name: torch.zeros_like(p) for name, p in self.parameters.items()}
            found = torch.autograd.grad(
                output, list(self.parameters.values()), grad_outputs=direction, allow_unused=True
            )
        return {
            name: torch.zeros_like(parameter) if slope is None else slope
            for (name, parameter), slope in zip(self.parameters.items(), found, strict=True)
        }
