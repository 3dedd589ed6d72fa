"""The gradients of a single record by autograd: the reference for faster ways."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from adversaries.inference.layer_parameters import Own
from fedsim.errors import FedsimError

CLOSE = 1e-3
"""Relative difference of what is called the same in single precision."""


def single_record_gradients(
    model: nn.Module,
    inputs: Tensor,
    expected: Tensor,
    direction: Tensor,
    layers: Mapping[str, Own],
) -> dict[str, dict[str, Tensor]]:
    """Return the gradients of one record by autograd, by layer and parameter.

    Parameters
    ----------
    model
        In eval mode.
    inputs, expected, direction
        One record (1, ...) as the model takes it, what the model returned for it in a batch, and
        the gradient of its loss with respect to that.
    layers
        The parameters of each layer, which may be frozen.

    Raises
    ------
    FedsimError
        If the model does not treat a record alone as it does in a batch.
    """
    parameters = [p for own in layers.values() for p in own.values()]
    with torch.enable_grad(), _differentiable(parameters):
        try:
            output = model(inputs)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FedsimError(
                f"the model {type(model).__name__} does not take one record alone, so no record "
                f"has a gradient of its own: {reason}"
            ) from error
        if not torch.allclose(output, expected, rtol=CLOSE, atol=CLOSE * _largest(expected)):
            raise FedsimError(
                f"the model {type(model).__name__} mixes the records of a batch: one record alone "
                "gives another output, so no record has a gradient of its own (batch "
                "normalisation without running statistics does this)"
            )
        if not parameters or not output.requires_grad:
            slopes: list[Tensor | None] = [None] * len(parameters)
        else:
            slopes = list(
                torch.autograd.grad(output, parameters, grad_outputs=direction, allow_unused=True)
            )
    found = iter(slopes)
    return {
        name: {
            local: torch.zeros_like(p) if (slope := next(found)) is None else slope
            for local, p in own.items()
        }
        for name, own in layers.items()
    }


@contextmanager
def _differentiable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let autograd reach frozen parameters within the context."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def last_of_batch(
    output: Tensor, direction: Tensor, layers: Mapping[str, Own]
) -> dict[str, dict[str, Tensor]] | None:
    """Return the gradients of a batch's last record by autograd; None where it does not reach all.

    The pass is the one that the rules read, and stays open. In a pass of the record alone, which
    rounds otherwise, a ReLU at its kink or a tie of a maximum may go the other way, and right rules
    look wrong.
    """
    parameters = [parameter for own in layers.values() for parameter in own.values()]
    if not (parameters and output.requires_grad and all(p.requires_grad for p in parameters)):
        return None
    last = torch.zeros_like(direction)
    last[-1] = direction[-1]
    found = iter(
        torch.autograd.grad(
            output, parameters, grad_outputs=last, allow_unused=True, retain_graph=True
        )
    )
    return {
        name: {
            local: torch.zeros_like(p) if (slope := next(found)) is None else slope
            for local, p in own.items()
        }
        for name, own in layers.items()
    }
