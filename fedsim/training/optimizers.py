"""Local optimisers by name, and their state as Flower arrays.

The paper's participants keep their momentum from round to round, so the state must survive between
two messages: it travels through Flower's ``Context.state`` as an `ArrayRecord`, whatever engine
runs the participant.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from fedsim import plugins
from fedsim.errors import ConfigError, PluginError

GROUP = "optimizers"

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Factory:
    """Makes an optimiser from parameters and a learning rate.

    Attributes
    ----------
    remembers
        Whether it keeps anything from one step to the next. It is stated and not tried out: with
        the first optimiser torch loads its compiler, 150 MB, which stacked training never needs.
    """

    make: Callable[[Iterable[nn.Parameter], float], Optimizer]
    remembers: bool = True

    def __call__(self, parameters: Iterable[nn.Parameter], rate: float) -> Optimizer:
        """Return a new optimiser."""
        return self.make(parameters, rate)


def sgd(
    momentum: NotNegative = 0.9, weight_decay: NotNegative = 0.0, nesterov: bool = False
) -> Factory:
    """Stochastic gradient descent with momentum."""
    if nesterov and not momentum:
        raise ConfigError(
            "federation.local.optimizer: nesterov is a form of momentum, which is 0; set momentum "
            "above 0, or leave nesterov out"
        )
    return Factory(
        lambda parameters, rate: SGD(
            parameters, rate, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True
        ),
        remembers=bool(momentum),
    )


def adam(
    beta1: DecayRate = 0.9,
    beta2: DecayRate = 0.999,
    eps: NotNegative = 1e-8,
    weight_decay: NotNegative = 0.0,
) -> Factory:
    """Adam (Kingma and Ba, 2015)."""
    return Factory(
        lambda parameters, rate: Adam(
            parameters, rate, (beta1, beta2), eps, weight_decay, fused=True
        )
    )


def adamw(
    beta1: DecayRate = 0.9,
    beta2: DecayRate = 0.999,
    eps: NotNegative = 1e-8,
    weight_decay: NotNegative = 0.01,
) -> Factory:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""
    return Factory(
        lambda parameters, rate: AdamW(
            parameters, rate, (beta1, beta2), eps, weight_decay, fused=True
        )
    )


def optimizer_factory(name: str, settings: Mapping[str, object]) -> Factory:
    """Return what makes an optimiser from parameters and a learning rate.

    Parameters
    ----------
    name
        A plugin of the group ``optimizers``: a function of settings that returns a `Factory` (or
        any callable that makes an optimiser from parameters and a learning rate), or a class of
        optimisers itself, as in ``torch.optim:RMSprop``.
    settings
        Its settings; of a class, its arguments but for `params` and `lr`.

    Raises
    ------
    PluginError
        If there is no such optimiser (the sentence lists the valid ones), or its settings are not
        valid.
    """
    plugin = plugins.resolve(GROUP, name)
    if isinstance(plugin, type) and issubclass(plugin, Optimizer):
        given = plugins.checked_for(GROUP, plugin, name, settings)
        kind: Callable[..., Optimizer] = plugin
        return Factory(lambda parameters, rate: kind(parameters, lr=rate, **given))
    made = plugins.build(GROUP, name, settings)
    if not callable(made):
        raise PluginError(
            f"optimizer {name!r} gave a {type(made).__name__}; it must be a class of optimisers, "
            "or return what makes an optimiser from parameters and a learning rate"
        )
    return made if isinstance(made, Factory) else Factory(made)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the buffers of an optimiser that has made its last step; contiguous ones as they are.

    Names are ``<parameter number>.<buffer>``.
    """
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.contiguous()
        for number, buffers in state.items()
        for name, value in buffers.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, arrays: Mapping[str, Tensor]) -> None:
    """Put buffers from `optimizer_tensors` back; the learning rate stays the optimiser's own."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for key, value in arrays.items():
        number, _, name = key.partition(".")
        parameter, buffer = parameters[int(number)], torch.as_tensor(value)
        if buffer.shape == parameter.shape and buffer.stride() != parameter.stride():
            # A fused step reads both in the order in which they lie in memory.
            buffer = torch.empty_like(parameter, dtype=buffer.dtype).copy_(buffer)
        state.setdefault(int(number), {})[name] = buffer
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
