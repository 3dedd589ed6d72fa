"""The outputs of modules inside a model, collected during a forward pass."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from adversaries.inference.feature_spec import FeatureSpec
from fedsim.errors import FedsimError


def output_key(name: str) -> str:
    """Return the key of a module's output among the features of a batch."""
    return f"outputs/{name}"


@contextmanager
def recorded_outputs(model: nn.Module, spec: FeatureSpec) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of the modules named in `spec.outputs` within the context."""
    seen: dict[str, Tensor] = {}

    def record_output(name: str) -> Callable[[nn.Module, object, object], None]:
        def record(_: nn.Module, __: object, returned: object) -> None:
            # A copy, because an in-place activation may overwrite the output.
            seen[output_key(name)] = _as_tensor(name, returned).detach().flatten(1).clone()

        return record

    modules: Mapping[str, nn.Module] = dict(model.named_modules())
    handles = [modules[n].register_forward_hook(record_output(n)) for n in spec.outputs]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _as_tensor(name: str, returned: object) -> Tensor:
    """Return a module's output, or the first tensor of several (an LSTM's)."""
    while isinstance(returned, tuple | list) and returned:
        returned = returned[0]
    if not isinstance(returned, Tensor):
        raise FedsimError(f"layer '{name}' returns no tensor, so its output cannot be read")
    return returned
