"""Conversion of an experiment in Python to the plain data of its file.

A function or class becomes its name, ``module:name``, and a path its text, because an experiment is
written to a file and other processes import what it names. Objects without an importable name are
refused.
"""

import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from fedsim.errors import ConfigError


def as_plain_data(value: object, where: str = "") -> Any:
    """Return mappings, lists and values with names for functions and classes, and texts for paths.

    Parameters
    ----------
    value
        Any value; other types than containers, callables and paths are returned unchanged.
    where
        Its key, for error messages.

    Raises
    ------
    ConfigError
        If a callable cannot be imported by a name.

    Examples
    --------
    >>> from torch import nn
    >>> as_plain_data({"model": {"name": nn.Linear, "in_features": 4}})
    {'model': {'name': 'torch.nn.modules.linear:Linear', 'in_features': 4}}
    """
    if isinstance(value, Mapping):
        return {key: as_plain_data(one, f"{where}.{key}".lstrip(".")) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain_data(one, f"{where}.{place}") for place, one in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    return name_of(value, where) if callable(value) else value


def name_of(plugin: object, where: str = "") -> str:
    """Return the ``module:name`` under which a function or class is imported.

    Raises
    ------
    ConfigError
        If it has no importable name: a lambda, an inner function, an object, or defined in a script
        or notebook.
    """
    module, name = getattr(plugin, "__module__", None), getattr(plugin, "__qualname__", None)
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is not plugin:
        place = f"{where} is " if where else ""
        raise ConfigError(
            f"{place}{name or f'a {type(plugin).__name__}'}{f' of {module}' if name else ''}, "
            "which cannot travel: an experiment is written down, and other processes import what "
            "it names; define a function or class at the top level of a module of its own (not in "
            "a notebook or script), and give its settings beside its name"
        )
    return f"{module}:{name}"
