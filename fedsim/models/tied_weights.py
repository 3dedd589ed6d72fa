"""Tied parameters: a model has them under several names, and files hold them under one.

safetensors' ``save_model`` writes tied weights under one of their names, and its ``load_model``
reads them so; the state dict of a model has all names.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedsim.errors import SnapshotError


def tied_names(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """Return the groups of names in a model's state dict that refer to the same tensor."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, value in model.state_dict().items():
        if value.numel():
            place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
            groups.setdefault(place, []).append(name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def add_tied_names(model: nn.Module, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return a state under all names of the model's tied parameters.

    Raises
    ------
    SnapshotError
        If the state has different values for names of one parameter. The message names `source`,
        where the state comes from.
    """
    whole = dict(state)
    for names in tied_names(model):
        given = [name for name in names if name in state]
        if not given:
            continue
        value = state[given[0]]
        for name in given[1:]:
            if not torch.equal(state[name], value):
                raise SnapshotError(
                    f"{source} has different values for {given[0]!r} and {name!r}, which are one "
                    f"parameter of the model {type(model).__name__}; make the weights from a model "
                    "that ties them, or give a model that does not"
                )
        whole |= dict.fromkeys(names, value)
    return whole
