"""What can be named in an experiment: everything installed, other packages' plugins included.

Nothing is imported for it: see `fedsim.plugins.source_reading`.
"""

from typing import NamedTuple

from fedsim.config.shipped import description, shipped
from fedsim.errors import PluginError, listed
from fedsim.plugins.groups import GROUPS, available, origin_of
from fedsim.plugins.source_reading import summary_of

CONFIGS = "configs"
"""What the example experiments are listed by, beside the groups of plugins."""


class ListedPlugin(NamedTuple):
    """One thing that can be named: its name, what it is, and the package it comes from."""

    name: str
    description: str
    origin: str


class ListedGroup(NamedTuple):
    """A group of plugins: its name, what its members do, and how many are installed."""

    name: str
    description: str
    members: int


def listed_groups() -> list[ListedGroup]:
    """Return all groups of plugins, and the example experiments."""
    groups = [
        ListedGroup(name, group.description, len(available(name))) for name, group in GROUPS.items()
    ]
    examples = "Experiments and studies that ship with fedsim."
    return [*groups, ListedGroup(CONFIGS, examples, len(shipped()))]


def listed_configs() -> list[ListedPlugin]:
    """Return the experiments and studies that ship with fedsim."""
    return [
        ListedPlugin(name, description(path), "study" if name.startswith("studies/") else "run")
        for name, path in shipped().items()
    ]


def listed_plugins(group: str) -> list[ListedPlugin]:
    """Return what is installed of a group (a key of `GROUPS`).

    Raises
    ------
    PluginError
        If there is no such group, or two packages claim the same name.
    """
    if group not in GROUPS:
        valid = listed([*GROUPS, CONFIGS])
        raise PluginError(f"there is no group of plugins {group!r}; valid: {valid}")
    return [
        ListedPlugin(name, _description(point.value), origin_of(group, point))
        for name, point in available(group).items()
    ]


def _description(reference: str) -> str:
    try:
        return summary_of(reference)
    except Exception as error:  # a third party's module may raise anything while it is imported
        return f"(cannot be imported: {type(error).__name__}: {' '.join(str(error).split())})"
