"""The state of a strategy between rounds, as a checkpoint saves it and restores it bit for bit.

Server momentum and similar state is kept in ordinary attributes, and Flower has no call to save
them. Each attribute becomes plain JSON data that refers to arrays by name. The type of each value
is restored, too: arithmetic on an array without axes gives a numpy scalar, so a strategy's moments
of BatchNorm's counters are scalars among arrays.

A value that can neither be saved nor be identified as a setting is an error and is never left out,
because a federation that continues without it would give other results.
"""

import base64
import math
from collections.abc import Callable, Mapping
from enum import Enum
from logging import Logger, LoggerAdapter
from pathlib import PurePath
from types import ModuleType
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import Strategy

from fedsim.errors import ConfigError

Plain = Any
"""JSON data; see `strategy_state`."""

_SETTINGS = (Enum, Logger, LoggerAdapter, PurePath, ModuleType, torch.device, torch.dtype)
"""Types that no strategy changes: they are settings or services, and not state."""
_DEEPEST = 20


def strategy_state(strategy: Strategy, prefix: str = "") -> tuple[dict[str, Any], dict[str, Plain]]:
    """Return the state of a strategy: arrays by name, and JSON data by attribute path.

    Attributes of a wrapped strategy are named ``strategy/attribute``. Functions and other settings
    that are not data are left out.

    Raises
    ------
    ConfigError
        If an attribute cannot be saved. The sentence names it and the types that can be saved.
    """
    arrays: dict[str, Any] = {}
    plain: dict[str, Plain] = {}
    for name, value in vars(strategy).items():
        path = f"{prefix}{name}"
        if isinstance(value, Strategy):
            inner_arrays, inner_plain = strategy_state(value, f"{path}/")
            arrays |= inner_arrays
            plain |= inner_plain
        elif not _is_setting(value):
            try:
                plain[path] = _Encoder(path, arrays).encoded(value, path)
            except TypeError as error:
                raise ConfigError(
                    f"federation.strategy: {type(strategy).__name__} remembers {error}, which a "
                    "checkpoint cannot keep; keep numbers, text, arrays, records of Flower, or "
                    "lists, tuples, sets and dicts of them"
                ) from error
    return arrays, plain


def restore_strategy(
    strategy: Strategy, arrays: Mapping[str, Any], plain: Mapping[str, Plain]
) -> None:
    """Restore the state that `strategy_state` returned.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the state does not belong to this kind of strategy. Functions are never replaced.
    """
    for path, value in plain.items():
        *owners, attribute = path.split("/")
        owner = strategy
        for inner in owners:
            owner = vars(owner)[inner]
        present = getattr(owner, attribute, None)
        if (
            not isinstance(owner, Strategy)
            or attribute.startswith("__")
            or callable(present)
            or isinstance(present, Strategy)
        ):
            raise TypeError(f"{path!r} is nothing that a strategy remembers")
        setattr(owner, attribute, _decoded(value, arrays))


def _is_setting(value: object) -> bool:
    return callable(value) or isinstance(value, _SETTINGS)


class _Encoder:
    """Encodes the values of one attribute as JSON data, and collects the arrays in them."""

    def __init__(self, path: str, arrays: dict[str, Any]) -> None:
        self._path = path
        self._arrays = arrays

    def encoded(self, value: object, where: str, depth: int = 0) -> Plain:
        """Return a value as JSON data: numbers, text and None unchanged, others with a type tag.

        Raises
        ------
        TypeError
            If its type is not supported. The message says where it is and which type it has.
        """
        if depth > _DEEPEST:
            raise TypeError(f"{self._path!r} in more than {_DEEPEST} levels")
        if value is None or type(value) in (bool, str):
            return value
        if type(value) is int:
            return value if value.bit_length() <= 64 else {"integer": hex(value)}
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, bytes | bytearray):
            return {type(value).__name__: base64.b64encode(value).decode()}
        if isinstance(value, np.ndarray | np.generic | torch.Tensor | Array):
            return self._array(value, where)
        if isinstance(value, ArrayRecord):
            return {"record": [[k, self.encoded(a, where)["data"]] for k, a in value.items()]}
        if isinstance(value, ConfigRecord | MetricRecord):
            return {type(value).__name__: self._pairs(dict(value.items()), where, depth)}
        for kind in (dict, list, tuple, set, frozenset):
            if type(value) is kind:
                return {kind.__name__: self._inside(value, where, depth)}
        raise TypeError(f"{where!r} as a {type(value).__name__}")

    def _array(self, value: Any, where: str) -> Plain:
        kinds = ((np.ndarray, "array"), (np.generic, "scalar"), (torch.Tensor, "tensor"))
        kind = next((name for one, name in kinds if isinstance(value, one)), "data")
        numbers = value.detach().cpu().numpy() if kind == "tensor" else value
        numbers = numbers.numpy() if kind == "data" else np.array(numbers)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(f"{where!r} as an array of {numbers.dtype}")
        name = f"{self._path}|{len(self._arrays)}"
        self._arrays[name] = np.array(numbers)
        return {kind: name}

    def _inside(self, value: Any, where: str, depth: int) -> list[Plain]:
        if isinstance(value, dict):
            return self._pairs(value, where, depth)
        inside = [self.encoded(one, f"{where}[{n}]", depth + 1) for n, one in enumerate(value)]
        # A set has no order. It is sorted, so that equal states give equal files.
        return sorted(inside, key=repr) if isinstance(value, set | frozenset) else inside

    def _pairs(self, value: Mapping[Any, Any], where: str, depth: int) -> list[Plain]:
        return [
            [self.encoded(k, where, depth + 1), self.encoded(v, f"{where}[{k!r}]", depth + 1)]
            for k, v in value.items()
        ]


def _decoded(value: Plain, arrays: Mapping[str, Any]) -> Any:
    """Return the value that `_Encoder.encoded` encoded."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise TypeError("a list stands without its kind")
        return value
    [(tag, content)] = value.items()
    return _DECODERS[tag](content, arrays)


def _pairs_of(content: Plain, arrays: Mapping[str, Any]) -> dict[Any, Any]:
    return {_decoded(key, arrays): _decoded(value, arrays) for key, value in content}


def _inside_of(content: Plain, arrays: Mapping[str, Any]) -> list[Any]:
    return [_decoded(one, arrays) for one in content]


_DECODERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "integer": lambda text, _: int(text, 16),
    "float": lambda text, _: float(text),
    "bytes": lambda text, _: base64.b64decode(text),
    "bytearray": lambda text, _: bytearray(base64.b64decode(text)),
    "array": lambda name, arrays: np.array(arrays[name]),
    "scalar": lambda name, arrays: arrays[name][()],
    "tensor": lambda name, arrays: torch.from_numpy(np.array(arrays[name])),
    "data": lambda name, arrays: Array(np.array(arrays[name])),
    "record": lambda pairs, arrays: ArrayRecord({k: Array(arrays[name]) for k, name in pairs}),
    "ConfigRecord": lambda pairs, arrays: ConfigRecord(_pairs_of(pairs, arrays)),
    "MetricRecord": lambda pairs, arrays: MetricRecord(_pairs_of(pairs, arrays)),
    "dict": _pairs_of,
    "list": _inside_of,
    "tuple": lambda content, arrays: tuple(_inside_of(content, arrays)),
    "set": lambda content, arrays: set(_inside_of(content, arrays)),
    "frozenset": lambda content, arrays: frozenset(_inside_of(content, arrays)),
}
