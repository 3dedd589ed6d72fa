"""Which layers a model runs, in which order, and which one of them gives its output.

Found by running two records through the model, not by reading its definition: a head may be
defined before the body, a layer may be defined and never used, and a model may do something with
its last layer's output before it returns it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fedsim.errors import FedsimError, listed

EXAMPLES = 2  # records that are tried


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode within the context, then give every module its own mode back.

    The fused attention of `torch.nn.TransformerEncoderLayer` is off: it bypasses the layers inside,
    and it gives other digits with gradients than without.
    """
    modes = [(module, module.training) for module in model.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, training in modes:
            module.training = training


def first_tensor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the first tensor that a layer was called with, by position or by name."""
    given = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    return next(given, None)


class LastCall(NamedTuple):
    """The last call of a linear layer in one forward pass.

    `hidden` and `returned` are its input and output, with the counts of in-place changes that they
    had when it returned.
    """

    name: str
    hidden: Tensor
    returned: Tensor
    versions: tuple[int, int]

    def gives(self, output: Tensor) -> bool:
        """Return whether the model's output is what this call returned, unchanged.

        It is decided by where it lies in memory, not by its values: an activation behind the layer
        that happens to change nothing in one batch changes something in the next.
        """
        return (
            self.returned.dim() == 2
            and output.shape == self.returned.shape
            and output.data_ptr() == self.returned.data_ptr()
            and output.stride() == self.returned.stride()
            and (self.hidden._version, self.returned._version) == self.versions
        )


class LinearCalls:
    """Watches the linear layers of a model for one forward pass."""

    def __init__(self, candidates: Mapping[str, nn.Linear]) -> None:
        self.candidates = candidates
        self.count = Counter[str]()
        self.last: LastCall | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note every call within the context."""
        handles = [
            layer.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, layer in self.candidates.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def note(_: nn.Module, args: Any, kwargs: Any, returned: Tensor) -> None:
            hidden = first_tensor(args, kwargs)
            if hidden is not None and isinstance(returned, Tensor):
                versions = hidden._version, returned._version
                self.count[name] += 1
                self.last = LastCall(name, hidden.detach(), returned.detach(), versions)

        return note

    def head(self, output: Tensor) -> LastCall | None:
        """Return the call that gave the model's output, if one alone did."""
        last = self.last
        if last is None or self.count[last.name] != 1 or not last.gives(output):
            return None
        return last


@dataclass(frozen=True)
class ModelLayers:
    """The layers of a model by execution.

    Attributes
    ----------
    executed
        Names of the modules of type Linear or convolution in the order of their last calls.
    head
        The Linear layer whose output is the model's, None where something else gives it.
    """

    executed: tuple[str, ...]
    head: str | None

    @classmethod
    def of(cls, model: nn.Module, inputs: Tensor, last_layer: str | None = None) -> "ModelLayers":
        """Run a few records through a model and see.

        Parameters
        ----------
        model
            Any module that returns a tensor.
        inputs
            Some records (n, ...).
        last_layer
            The name of the layer that gives the output, if the user says so.

        Raises
        ------
        FedsimError
            If the layer that the user names is missing, not Linear, or does not give the output.
        """
        modules = dict(model.named_modules())
        if last_layer is not None:
            require_layers(modules, [last_layer], "last_layer: ")
            _require_linear(modules, last_layer)
        order: dict[str, None] = {}
        watched = {n: m for n, m in modules.items() if isinstance(m, WEIGHTED)}

        def note(name: str) -> Any:
            def hook(*_: object) -> None:
                order.pop(name, None)
                order[name] = None

            return hook

        calls = LinearCalls(linear_layers(model))
        handles = [module.register_forward_hook(note(name)) for name, module in watched.items()]
        try:
            with evaluating(model), torch.no_grad(), calls.watching():
                output = model(inputs)
        finally:
            for handle in handles:
                handle.remove()
        found = calls.head(output) if isinstance(output, Tensor) else None
        head = found.name if found else None
        if head is not None and not _is_plain(model, modules[head]):
            head = None
        if last_layer is not None and last_layer != head:
            raise not_the_output(last_layer)
        return cls(tuple(order), head)


WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers that places (-1, -2, ...) count."""


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers of a model by name, in the order of their definition."""
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}


def require_layers(
    modules: Mapping[str, nn.Module], wanted: Sequence[str], where: str = ""
) -> None:
    """Raise `FedsimError` if a model has no module of one of these names; `where` begins it."""
    unknown = [name for name in wanted if name not in modules]
    if unknown:
        raise FedsimError(
            f"{where}the model has no layer named {listed(unknown)}; "
            f"it has {listed(filter(None, modules))}"
        )


def not_the_output(name: str) -> FedsimError:
    """Return the error for a layer that is called the last one and is not."""
    return FedsimError(
        f"layer '{name}' does not give the model's output: name the linear layer that does, or "
        "leave last_layer out"
    )


def parameter_owners(model: nn.Module) -> dict[int, list[str]]:
    """Return the names of the modules that own each parameter, by the parameter's id."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(name)
    return owners


def _is_plain(model: nn.Module, layer: nn.Module) -> bool:
    """Return whether a Linear computes its input times its own weight, which no other one has."""
    owners = parameter_owners(model)
    return (
        type(layer).forward is nn.Linear.forward
        and not parametrize.is_parametrized(layer)
        and all(len(owners[id(p)]) == 1 for p in layer.parameters(recurse=False))
    )


def _require_linear(modules: Mapping[str, nn.Module], name: str) -> None:
    layer = modules[name]
    if not isinstance(layer, nn.Linear):
        linear = (n for n, m in modules.items() if isinstance(m, nn.Linear))
        raise FedsimError(
            f"the last layer must be Linear, but '{name}' is a {type(layer).__name__}; "
            f"the linear layers are {listed(linear)}"
        )
