"""Strategies by name, Flower's among them, and the state that they carry from round to round."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import Strategy
from pydantic import ValidationError

from fedsim import plugins
from fedsim.config.experiment import Choice
from fedsim.errors import ConfigError, PluginError
from fedsim.transport.fast_fedavg import QUICK

Plain = None | bool | int | float | str
GROUP = "strategies"
INNER = "strategy"
_AT_LEAST = re.compile(r"min_\w+_nodes")


def build_strategy(name: str, settings: Mapping[str, Any], participants: int) -> Strategy:
    """Return a strategy, built for a federation of so many participants.

    Parameters
    ----------
    name
        A plugin of the group ``strategies``: a class of `flwr.serverapp.strategy` by its name, or
        a user's own as ``module:Class``.
    settings
        Its arguments. One that wraps another, as those for differential privacy do, takes it as
        ``strategy: {name: ...}``.
    participants
        How many take part, in the round with the fewest; the strategy waits for so many unless
        told otherwise.

    Raises
    ------
    PluginError
        If there is no such strategy, or a setting is unknown or not valid.
    ConfigError
        If its settings do not fit the federation.
    """
    plugin = plugins.resolve(GROUP, name)
    ours: dict[str, Any] = {
        "min_available_nodes": participants,
        "min_train_nodes": 1,
        "min_evaluate_nodes": 1,
        "train_loss_key": "loss",
    }
    parameters = plugins.settings_schema(plugin, ()).model_fields
    wraps = INNER in parameters
    own = {key: value for key, value in settings.items() if not (wraps and key == INNER)}
    filled = {key: value for key, value in ours.items() if key in parameters}
    filled |= plugins.checked(plugin, name, own, provided=(INNER,))
    patient = [k for k in filled if _AT_LEAST.fullmatch(k) and filled[k] > participants]
    if patient:
        raise ConfigError(
            f"federation.strategy: {name} would wait forever for {patient[0]} = "
            f"{filled[patient[0]]}; in some round only {participants} take part"
        )
    if wraps:
        inner = _worn_over(name, settings)
        filled[INNER] = build_strategy(inner.name, inner.settings, participants)
    try:
        built = QUICK.get(plugin, plugin)(**filled)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"federation.strategy: {name}: {error}") from error
    if not isinstance(built, Strategy):
        raise PluginError(
            f"strategy {name!r} gave a {type(built).__name__}; a plugin of group strategies must "
            "derive from flwr.serverapp.strategy.Strategy"
        )
    return built


def _worn_over(name: str, settings: Mapping[str, Any]) -> Choice:
    try:
        return Choice.model_validate(settings.get(INNER))
    except ValidationError as error:
        raise ConfigError(
            f"federation.strategy: {name} wraps another strategy and needs it as "
            f"{INNER}: {{name: FedAvg}}"
        ) from error


def strategy_state(strategy: Strategy, prefix: str = "") -> tuple[dict[str, Any], dict[str, Plain]]:
    """Return what a strategy remembers, as numpy arrays and as plain values, by attribute path.

    Server momentum and the like live in ordinary attributes, and Flower has no call to save them.
    """
    arrays: dict[str, Any] = {}
    plain: dict[str, Plain] = {}
    for name, value in vars(strategy).items():
        path = f"{prefix}{name}"
        if isinstance(value, Strategy):
            inner_arrays, inner_plain = strategy_state(value, f"{path}/")
            arrays |= inner_arrays
            plain |= inner_plain
        elif value is None or isinstance(value, bool | int | float | str):
            plain[path] = value
        else:
            kind, named = _unpacked(value)
            arrays |= {f"{path}|{kind}|{key}": np.copy(array) for key, array in named.items()}
    return arrays, plain


def restore_strategy(
    strategy: Strategy, arrays: Mapping[str, Any], plain: Mapping[str, Plain]
) -> None:
    """Put back what `strategy_state` returned.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not of such a strategy: nothing is put in place of what a strategy does.
    """
    packed: dict[tuple[str, str], dict[str, Any]] = {}
    for name, array in arrays.items():
        path, kind, key = name.split("|", 2)
        packed.setdefault((path, kind), {})[key] = array
    containers = {path: _PACK[kind](named) for (path, kind), named in packed.items()}
    for path, value in {**plain, **containers}.items():
        *owners, attribute = path.split("/")
        owner = strategy
        for inner in owners:
            owner = vars(owner)[inner]
        present = getattr(owner, attribute, None)
        if attribute.startswith("__") or callable(present) or isinstance(present, Strategy):
            raise TypeError(f"{path!r} is nothing that a strategy remembers")
        setattr(owner, attribute, value)


_PACK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "record": lambda named: ArrayRecord({key: Array(array) for key, array in named.items()}),
    "dict": dict,
    "list": lambda named: [named[key] for key in sorted(named, key=int)],
    "array": lambda named: named[""],
}


def _unpacked(value: object) -> tuple[str, dict[str, Any]]:
    """Return the kind of a container of arrays and its arrays by name; others are not state."""
    if isinstance(value, ArrayRecord):
        return "record", {key: array.numpy() for key, array in value.items()}
    if isinstance(value, np.ndarray):
        return "array", {"": value}
    if isinstance(value, list) and value and all(isinstance(a, np.ndarray) for a in value):
        return "list", {str(place): array for place, array in enumerate(value)}
    if isinstance(value, dict) and value and all(isinstance(a, np.ndarray) for a in value.values()):
        return "dict", dict(value)
    return "none", {}
