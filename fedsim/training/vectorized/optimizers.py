"""The local optimisers for many models at once: those of `optimizers`, on stacked parameters.

A step of an optimiser is elementwise, so it is the same for a stack. Where the rule is linear in
the gradient, the gradient is added in place of being written down first (see `stack_layers`).
What they keep has the names and shapes of PyTorch's own, in front of which are the models.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor

from fedsim import plugins
from fedsim.training.optimizers import GROUP, adam, adamw, sgd
from fedsim.training.vectorized.layers import Gradient

State = dict[str, Tensor]
"""What is kept for one parameter, by PyTorch's name of it; (models, ...) each."""


class StackedOptimizer(Protocol):
    """An optimiser of stacked parameters."""

    def fresh(self, parameter: Tensor) -> State:
        """Return what is kept of one model's parameter before its first step."""

    def step(self, parameter: Tensor, gradient: Gradient, state: State, rate: float) -> None:
        """Change a stacked parameter and its state in place."""


@dataclass(frozen=True)
class StackedSGD:
    """Stochastic gradient descent, as `torch.optim.SGD` without dampening."""

    momentum: float
    weight_decay: float
    nesterov: bool

    def fresh(self, parameter: Tensor) -> State:
        """Return a momentum of zero, which makes the first one the gradient."""
        return {"momentum_buffer": torch.zeros_like(parameter)} if self.momentum else {}

    def step(self, parameter: Tensor, gradient: Gradient, state: State, rate: float) -> None:
        """Change a stacked parameter and its momentum in place."""
        shrunk = 1 - rate * self.weight_decay
        if not self.momentum:
            gradient.add_to(parameter, keep=shrunk, factor=-rate)
            return
        momentum = state["momentum_buffer"]
        gradient.add_to(momentum, keep=self.momentum)
        if self.weight_decay:
            momentum.add_(parameter, alpha=self.weight_decay)
        if self.nesterov:
            gradient.add_to(parameter, keep=shrunk, factor=-rate)
        parameter.add_(momentum, alpha=-rate * (self.momentum if self.nesterov else 1))


@dataclass(frozen=True)
class StackedAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1); decoupled: AdamW (Loshchilov and Hutter, 2019)."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decoupled: bool = False

    def fresh(self, parameter: Tensor) -> State:
        """Return no step and moments of zero."""
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.zeros(()), **moments}

    def step(self, parameter: Tensor, gradient: Gradient, state: State, rate: float) -> None:
        """Change a stacked parameter and its moments in place; each model has its own step."""
        first, second = state["exp_avg"], state["exp_avg_sq"]
        slope = torch.empty_like(parameter)
        gradient.add_to(slope, keep=0)
        if self.decoupled:
            parameter.mul_(1 - rate * self.weight_decay)
        elif self.weight_decay:
            slope.add_(parameter, alpha=self.weight_decay)
        first.lerp_(slope, 1 - self.beta1)
        second.mul_(self.beta2).addcmul_(slope, slope, value=1 - self.beta2)
        torch.sqrt(second, out=slope)
        for models, step in _by_step(state["step"].add_(1)):
            root, size = (1 - self.beta2**step) ** 0.5, rate / (1 - self.beta1**step)
            below = slope[models].div_(root).add_(self.eps)
            parameter[models].addcdiv_(first[models], below, value=-size)


def _by_step(steps: Tensor) -> Iterator[tuple[slice, float]]:
    """Yield which models, neighbours, have taken the same number of steps, and that number."""
    numbers, begin = steps.tolist(), 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[begin]:
            yield slice(begin, end), numbers[begin]
            begin = end


def _adamw(**settings: Any) -> StackedOptimizer:
    return StackedAdam(**settings, decoupled=True)


_STACKED: dict[Callable[..., Any], Callable[..., StackedOptimizer]]
_STACKED = {sgd: StackedSGD, adam: StackedAdam, adamw: _adamw}


def stacked_optimizer(name: str, settings: Mapping[str, object]) -> StackedOptimizer | str:
    """Return the stacked form of a local optimiser, or why it has none.

    The reason completes the sentence "it cannot be stacked because ...".

    Raises
    ------
    PluginError
        If the settings are not valid.
    """
    plugin = plugins.resolve(GROUP, name)
    if plugin not in _STACKED:
        return f"there is no stacked form of the optimizer {name!r}"
    given = signature(plugin).bind(**plugins.checked_for(GROUP, plugin, name, settings))
    given.apply_defaults()
    return _STACKED[plugin](**given.arguments)
