"""The part of a model that participants and server exchange: everything that training changes.

If some parameters are frozen (adapters on a pre-trained model), only the trained parameters and the
buffers are sent, averaged and kept as snapshots. The receiver gets the frozen parameters from the
model's factory, which creates equal ones in every process.
"""

from collections.abc import Mapping

from torch import Tensor, nn


def exchanged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the entries of a model's state dict that are exchanged, in order, without a copy.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    >>> _ = model[0].requires_grad_(False)
    >>> list(exchanged_state(model))
    ['1.weight', '1.bias']
    """
    # `keep_vars` returns the parameters themselves, which have `requires_grad`.
    return {
        name: value.detach()
        for name, value in model.state_dict(keep_vars=True).items()
        if not isinstance(value, nn.Parameter) or value.requires_grad
    }


def exchanged_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the entries that are exchanged.

    >>> exchanged_shapes(nn.Linear(3, 2))
    {'weight': (2, 3), 'bias': (2,)}
    """
    return {name: tuple(value.shape) for name, value in exchanged_state(model).items()}


def load_exchanged(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load exchanged parameters, or a whole state dict, into a model.

    Raises
    ------
    RuntimeError
        If entries are missing, not known, or of another shape.
    """
    missing, unknown = model.load_state_dict(state, strict=False)
    needed = sorted(exchanged_state(model).keys() & set(missing))
    if needed or unknown:
        raise RuntimeError(f"missing {needed}; not known {list(unknown)}")
