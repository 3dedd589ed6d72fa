"""Plugins: data sets, models, strategies, adversaries, attacks and all other named parts.

A plugin is any callable (class or function) whose parameters are its settings. Its name is either
an entry point of a group (`fedsim.plugins.groups`), which another package can add without a change
here, or a reference ``module:attribute``. Its signature is its schema: settings are strictly
checked against it when the experiment is read.

The code that checks and builds plugins is imported on first use, because listing plugins does not
need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedsim.plugins.groups import GROUPS, Group, available

if TYPE_CHECKING:
    from fedsim.plugins.building import build, build_member, check, checked_for, defaults, resolve
    from fedsim.plugins.error_sentences import one_line, raised_in
    from fedsim.plugins.settings import UNKNOWN_KEY, checked, settings_schema, valid_keys
    from fedsim.plugins.source_reading import summary

_HOMES = {
    "UNKNOWN_KEY": "fedsim.plugins.settings",
    "build": "fedsim.plugins.building",
    "build_member": "fedsim.plugins.building",
    "check": "fedsim.plugins.building",
    "checked": "fedsim.plugins.settings",
    "checked_for": "fedsim.plugins.building",
    "defaults": "fedsim.plugins.building",
    "one_line": "fedsim.plugins.error_sentences",
    "raised_in": "fedsim.plugins.error_sentences",
    "resolve": "fedsim.plugins.building",
    "settings_schema": "fedsim.plugins.settings",
    "summary": "fedsim.plugins.source_reading",
    "valid_keys": "fedsim.plugins.settings",
}

__all__ = [
    "GROUPS",
    "UNKNOWN_KEY",
    "Group",
    "available",
    "build",
    "build_member",
    "check",
    "checked",
    "checked_for",
    "defaults",
    "one_line",
    "raised_in",
    "resolve",
    "settings_schema",
    "summary",
    "valid_keys",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fedsim.plugins' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
