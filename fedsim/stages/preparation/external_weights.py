"""The weights of an external model: read from safetensors only, and matched to the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fedsim.errors import SnapshotError, listed
from fedsim.models.tied_weights import add_tied_names
from fedsim.models.wrapper_prefixes import wrapper_hint

_NUMBERS = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}
_VALID = listed(str(kind).removeprefix("torch.") for kind in _NUMBERS)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return what is in a safetensors file.

    Raises
    ------
    SnapshotError
        If it is missing, is no safetensors file, or has types that no model has.
    """
    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise SnapshotError(f"there is no file of weights {path}") from error
    except (OSError, SafetensorError, ValueError, LookupError, AttributeError) as error:
        target = path.parent / f"{path.stem}.safetensors"
        raise SnapshotError(
            f"{path} is not a safetensors file, and no pickle is loaded because it may run any "
            'code; convert it where you trust it: python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load('{path}', weights_only=True), '{target}')\""
        ) from error
    for name, tensor in state.items():
        if tensor.dtype not in _NUMBERS:
            raise SnapshotError(f"{path} has {name!r} of type {tensor.dtype}; valid: {_VALID}")
    return state


def fitted(model: nn.Module, state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a state in the model's types, under all names of tied parameters.

    Raises
    ------
    SnapshotError
        If its names or shapes differ from the model's, or it has values that are not finite.
    """
    state = add_tied_names(model, state, name)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    missing, surplus = expected.keys() - state.keys(), state.keys() - expected.keys()
    if missing or surplus:
        raise SnapshotError(
            f"{name} does not fit the model {type(model).__name__}: missing {_few(missing)}; not "
            f"known {_few(surplus)}{wrapper_hint(state, expected)}"
        )
    for key, tensor in state.items():
        if tuple(tensor.shape) != expected[key]:
            raise SnapshotError(
                f"{name} has {key!r} of shape {tuple(tensor.shape)} where the model "
                f"{type(model).__name__} has {expected[key]}; a factory of your own "
                "(module:function) can make one with other settings"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise SnapshotError(f"{name} has values in {key!r} that are not finite")
    model.load_state_dict(state)
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def _few(names: Sequence[str] | set[str]) -> str:
    """Return the first few names, and how many more there are."""
    first = sorted(names)[:5]
    more = len(names) - len(first)
    return listed(first) + (f", and {more} more" if more else "")
