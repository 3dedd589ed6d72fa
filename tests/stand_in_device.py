"""A stand-in for a GPU on a machine without one: tensors on device ``standin:0``.

Every operation on them is computed by the CPU, so figures are the CPU's, bit for bit. But a tensor
of the CPU that meets one of the stand-in in an operation raises, as with a GPU, and so does
``.numpy()``. Once registered it stays for the process, so tests use it in processes of their own:

    python -m tests.stand_in_device run experiment.yaml --set engine.device=standin

It is PyTorch's dispatch key for third parties' devices (``PrivateUse1``) with one fallback in
Python, and has what autograd, `torch.func.grad` and the fused optimisers need. It cannot see
kernels that a GPU lacks, or computes in no fixed order; the memory of a device; copies that nobody
waits for; and how fast anything is. PyTorch's forward mode does not work on such tensors: two
passes back take its place.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"
_MOVES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from")
_TAKES_INDEX_OF_CPU = ("aten::index", "aten::_index_put_impl_", "aten::index_put")


class StandIn(Tensor):
    """A tensor that says it is on the stand-in, and holds one on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "StandIn":
        made: StandIn = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def data_ptr(self) -> int:
        """Return where the values lie, for who asks whether two tensors are one."""
        return self.held.data_ptr()

    def tolist(self) -> list[Any]:
        """Return the values, as a tensor of a GPU does."""
        found: list[Any] = self.held.tolist()
        return found

    def __deepcopy__(self, known: dict[int, Any]) -> "StandIn":
        """Return a copy; PyTorch's own would copy memory that is not there."""
        made = StandIn(self.held.clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            made = torch.nn.Parameter(made, self.requires_grad)
        known[id(self)] = made
        return made

    @classmethod
    def __torch_dispatch__(
        cls,
        operation: Any,
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        return _computed(operation, arguments, named or {})


def _computed(operation: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Compute an operation on what its tensors hold; the results are on the stand-in."""
    name = operation.name()
    flat, shape = pytree.tree_flatten((arguments, named))
    on_device = [one for one in flat if isinstance(one, StandIn)]
    _require_one_device(name, arguments, flat, bool(on_device))
    inner = [one.held if isinstance(one, StandIn) else _on_cpu(one) for one in flat]
    inner_arguments, inner_named = pytree.tree_unflatten(inner, shape)
    result = _on_the_cpu(operation, name)(*inner_arguments, **inner_named)
    known = {id(one.held): one for one in on_device}
    known |= {id(one): one for one in flat if isinstance(one, Tensor)}
    leaves = _leaves_the_device(name, arguments, named)

    def wrapped(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        if id(one) in known:
            return known[id(one)]
        return one if leaves else StandIn(one)

    return pytree.tree_map(wrapped, result)


def _leaves_the_device(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Return whether the result is the CPU's: it is moved there, or copied into what is there."""
    if name.startswith("aten::copy_"):
        return not isinstance(arguments[0], StandIn)
    target = named.get("device")
    return name.startswith(_MOVES) and target is not None and torch.device(target).type == "cpu"


def _require_one_device(
    name: str, arguments: Sequence[Any], flat: Sequence[Any], any_there: bool
) -> None:
    """Raise where a GPU would: numbers without axes and indices may be the CPU's."""
    if not any_there or name.startswith(_MOVES):
        return
    looked_at = flat
    if name.startswith(_TAKES_INDEX_OF_CPU):
        looked_at = [arguments[0]]
    strangers = [
        tuple(one.shape)
        for one in looked_at
        if isinstance(one, Tensor) and not isinstance(one, StandIn) and one.dim()
    ]
    if strangers:
        raise RuntimeError(
            f"{name}: a tensor of shape {strangers[0]} is on the CPU, others on {NAME}:0"
        )


def _on_cpu(one: Any) -> Any:
    return torch.device("cpu") if isinstance(one, torch.device) and one.type == NAME else one


def _on_the_cpu(operation: Any, name: str) -> Any:
    if name.startswith("aten::convolution_overrideable"):
        return torch.ops.aten.convolution
    if name.startswith("aten::convolution_backward_overrideable"):
        return _convolution_backward
    return operation


def _convolution_backward(grad: Tensor, inputs: Tensor, weight: Tensor, *rest: Any) -> Any:
    return torch.ops.aten.convolution_backward(grad, inputs, weight, None, *rest)


class _Module:
    """What PyTorch asks of a device's module."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed(self, seed: int) -> None:
        torch.default_generator.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        self.manual_seed(seed)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def _in_order(operation: Any, *arguments: Any, **named: Any) -> Any:
    return _computed(operation, arguments, named)


_libraries: list[torch.library.Library] = []


def register() -> None:
    """Have PyTorch know the device; it stays for the process."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    anything = torch.library.Library("_", "IMPL")
    anything.fallback(_in_order, "PrivateUse1")
    aten = torch.library.Library("aten", "IMPL")
    for name, overload in (
        ("empty", "memory_format"),
        ("empty_strided", "default"),
        ("convolution_overrideable", "default"),
        ("convolution_backward_overrideable", "default"),
        ("_to_copy", "default"),
        ("copy_", "default"),
    ):
        operation = getattr(getattr(torch.ops.aten, name), overload)
        full = name if overload == "default" else f"{name}.{overload}"
        aten.impl(
            full, lambda *args, _op=operation, **named: _computed(_op, args, named), "PrivateUse1"
        )
    _libraries.extend((anything, aten))


def jvp_by_two_passes_back(
    function: Callable[[dict[str, Tensor]], Tensor],
    at: tuple[dict[str, Tensor]],
    along: tuple[dict[str, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Return what `torch.func.jvp` does of one mapping: a product with a vector is linear in it."""
    with torch.enable_grad():
        moving = {name: value.detach().requires_grad_() for name, value in at[0].items()}
        outputs = function(moving)
        vector = torch.zeros_like(outputs, requires_grad=True)
        places = list(moving.values())
        back = torch.autograd.grad(outputs, places, vector, create_graph=True, allow_unused=True)
        used = [(g, along[0][n]) for n, g in zip(moving, back, strict=True) if g is not None]
        found = torch.autograd.grad([g for g, _ in used], vector, [v for _, v in used])
    return outputs.detach(), found[0].detach()


if __name__ == "__main__":
    register()
    from adversaries.inference import alignment

    alignment.jvp = jvp_by_two_passes_back  # type: ignore[assignment]
    from fedsim.cli.main import main

    sys.exit(main())
