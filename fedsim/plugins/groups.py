"""The groups of plugins and their members: entry points, and the classes of a library.

Nothing here imports a plugin: names are read from the metadata of installed packages and from the
``__all__`` of a library's source, so that listing them takes milliseconds.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from fedsim.errors import PluginError, listed
from fedsim.plugins.source_reading import exported_names


@dataclass(frozen=True)
class Library:
    """A library whose public classes are members of a group, each under its own name.

    Attributes
    ----------
    module
        The module that exports the classes in its ``__all__``.
    package
        The name of the library in listings.
    others
        Names in ``__all__`` that are not members.
    """

    module: str
    package: str
    others: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Group:
    """A kind of plugin.

    Attributes
    ----------
    entry_points
        The group of entry points in which packages register members.
    member
        A member in a sentence, with its article: "a data set".
    description
        What members do, in one sentence.
    template
        The kind of a member for `fedsim new`; empty for adversaries, which have a template for
        each position.
    provided
        Parameters for which fedsim provides a value, unless a setting of that name is given.
    arguments
        Parameters for which only fedsim provides a value, so that they are not settings.
    library
        A library whose classes are members, too; an installed plugin of the same name takes
        precedence.
    """

    entry_points: str
    member: str
    description: str
    template: str = ""
    provided: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    library: Library | None = None


_STRATEGIES = Library("flwr.serverapp.strategy", "flwr", frozenset({"Result", "Strategy"}))
_PARTITIONERS = Library(
    "flwr_datasets.partitioner",
    "flwr-datasets",
    frozenset(
        {
            "IdToSizeFncPartitioner",
            "Partitioner",
            "VerticalEvenPartitioner",
            "VerticalSizePartitioner",
        }
    ),
)

GROUPS = {
    "datasets": Group(
        "fedsim.datasets", "a data set", "Find, decode and return records.", "dataset"
    ),
    "partitioners": Group(
        "fedsim.partitioners",
        "a partitioner",
        "Assign records to participants.",
        "partitioner",
        arguments=("task",),
        library=_PARTITIONERS,
    ),
    "models": Group(
        "fedsim.models",
        "a model",
        "Return the module that is trained.",
        "model",
        provided=("input_shape", "num_classes"),
    ),
    "objectives": Group(
        "fedsim.objectives",
        "an objective",
        "Define the loss, and how well a record is fitted.",
        "objective",
    ),
    "optimizers": Group(
        "fedsim.optimizers",
        "an optimizer",
        "Take local steps from gradients.",
        "optimizer",
        arguments=("params", "lr"),
    ),
    "trainers": Group(
        "fedsim.trainers",
        "a local trainer",
        "Train a participant's model, from round to round.",
        "trainer",
    ),
    "strategies": Group(
        "fedsim.strategies",
        "a strategy",
        "Select participants and aggregate what they send.",
        "strategy",
        library=_STRATEGIES,
    ),
    "defences": Group(
        "fedsim.defences",
        "a defence",
        "Change what others learn of a participant's data.",
        "defence",
    ),
    "canaries": Group(
        "fedsim.canaries",
        "a kind of canaries",
        "Choose the records of an audit, and their labels.",
        "canary",
    ),
    "adversaries": Group(
        "fedsim.adversaries",
        "an adversary",
        "Observe and change messages in a position.",
        provided=("victims", "participants"),
    ),
    "attacks": Group(
        "fedsim.attacks", "an attack", "Score records from what an adversary saw.", "attack"
    ),
    "metrics": Group("fedsim.metrics", "a metric", "Measure scores against the truth.", "metric"),
    "engines": Group("fedsim.engines", "an engine", "Run the participants.", "engine"),
}
"""All groups by name, in the order in which an experiment uses them."""


def available(group: str) -> dict[str, EntryPoint]:
    """Return the installed plugins of a group (a key of `GROUPS`) by name.

    Raises
    ------
    PluginError
        If there is no such group, or two installed packages register the same name.
    """
    if group not in GROUPS:
        raise PluginError(f"there is no group of plugins {group!r}; valid: {listed(GROUPS)}")
    found: dict[str, EntryPoint] = {}
    for point in _installed(_stamps())[group]:
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise PluginError(
                f"two installed packages offer {group} {point.name!r} ({other.value} and "
                f"{point.value}); uninstall one of them"
            )
    found = {point.name: point for point in _of_library(group)} | found
    return dict(sorted(found.items()))


def origin_of(group: str, point: EntryPoint) -> str:
    """Return the package that a member of a group comes from."""
    if point.dist is not None:
        return point.dist.name
    library = GROUPS[group].library
    return library.package if library else ""


def _stamps() -> tuple[tuple[str, int], ...]:
    """Return the folders in which packages are searched, and their modification times.

    An installer that adds, removes or replaces a package makes or removes its ``.dist-info``
    folder, which changes the modification time of the parent folder.
    """
    return tuple((place, _changed(place or ".")) for place in sys.path)


def _changed(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116  # a fifth of Path.stat's time
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=4)  # more than one, because the folder of an experiment may be searched, too
def _installed(stamps: tuple[tuple[str, int], ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of each group; cached by `stamps`, because reading them is slow."""
    every = entry_points()
    return {name: tuple(every.select(group=group.entry_points)) for name, group in GROUPS.items()}


def _of_library(group: str) -> Iterator[EntryPoint]:
    if (library := GROUPS[group].library) is not None:
        for name in exported_names(library.module):
            if name not in library.others:
                value = f"{library.module}:{name}"
                yield EntryPoint(name, value, GROUPS[group].entry_points)
