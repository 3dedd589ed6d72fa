"""What can be named in an experiment: everything installed, other packages' plugins included."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from fedsim import plugins
from fedsim.config.engine import ENGINES
from fedsim.data.partition import SCHEMES
from fedsim.federation.strategies import strategies
from fedsim.training.optimizers import OPTIMIZERS


class ListedPlugin(NamedTuple):
    """One thing that can be named: its name, what it is, and the package it comes from."""

    name: str
    description: str
    origin: str


def catalogue() -> dict[str, Callable[[], list[ListedPlugin]]]:
    """Return what lists each kind of thing, by the kind's name."""
    return {
        **{group: partial(_plugins, group) for group in plugins.GROUPS},
        "strategies": lambda: _described(strategies(), "flwr"),
        "partitions": _partitions,
        "optimizers": lambda: _described(OPTIMIZERS, "fedsim"),
        "engines": lambda: _described(ENGINES, "fedsim"),
    }


def _plugins(group: str) -> list[ListedPlugin]:
    return [
        ListedPlugin(
            name,
            plugins.summary(plugins.resolve(group, name)),
            point.dist.name if point.dist else "",
        )
        for name, point in plugins.available(group).items()
    ]


def _partitions() -> list[ListedPlugin]:
    from flwr_datasets import partitioner  # here: it takes seconds to import

    theirs = [n for n in partitioner.__all__ if n != "Partitioner" and "Vertical" not in n]
    return _described(SCHEMES, "fedsim") + _described(
        {name: getattr(partitioner, name) for name in theirs}, "flwr-datasets"
    )


def _described(things: Mapping[str, Callable[..., object]], origin: str) -> list[ListedPlugin]:
    return [ListedPlugin(name, plugins.summary(thing), origin) for name, thing in things.items()]
