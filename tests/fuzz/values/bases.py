"""Sound experiments: for each plugin one that begins, in which its settings are then changed."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fedsim.errors import FedsimError
from fuzz.values.candidates import sound_values
from fuzz.values.places import GROUP_PATHS, Path, plugin_places, with_value

Tree = dict[str, Any]

PLAIN: Tree = {
    "seed": 3,
    "data": {"name": "fuzz.values.toy_data:points", "test_records": 60},
    "partition": {"name": "disjoint", "participants": 3, "records": 40},
    "model": {"name": "fully-connected", "widths": [16]},
    "federation": {
        "rounds": 2,
        "local": {"batch_size": 10, "learning_rate": 0.05, "schedule": {"2": 0.01}},
        "evaluation": {"every": 1},
    },
    "snapshots": {"rounds": {"every": 1, "first": 1}},
    "audit": {
        "victims": [0],
        "known_members": 10,
        "known_nonmembers": 10,
        "tested_members": 10,
        "tested_nonmembers": 10,
    },
    "adversaries": [{"label": "a", "together": [{"name": "curious-server"}]}],
    "attacks": [{"name": "loss", "label": "l"}],
    "metrics": ["auc", {"name": "tpr", "fpr": 0.2}],
}
_NETWORK = {"name": "objective_data:network"}
BASES: Mapping[str, Tree] = {
    "plain": PLAIN,
    "many": PLAIN | {"partition": {"name": "disjoint", "participants": 7, "records": 20}},
    "whole pool": PLAIN | {"partition": {"name": "disjoint", "participants": 3}},
    "users": PLAIN
    | {"partition": {"name": "disjoint", "participants": 6}}
    | {"data": {"name": "fuzz.values.toy_data:points", "test_records": 60}},
    "pictures": PLAIN | {"data": {"name": "fuzz.values.toy_data:pictures", "test_records": 60}},
    "numbers": PLAIN
    | {"data": {"name": "fuzz.values.toy_data:numbers", "test_records": 60}, "model": _NETWORK},
    "several labels": PLAIN
    | {"data": {"name": "fuzz.values.toy_data:several_labels", "test_records": 60}}
    | {"model": _NETWORK},
    "tokens": PLAIN
    | {"data": {"name": "fuzz.values.toy_data:tokens", "test_records": 60}}
    | {"model": {"name": "objective_data:Language"}},
}
"""Experiments of different data and sizes; a plugin is tried in the first in which it begins."""

FULL: Tree = PLAIN | {
    "objective": {"name": "classification"},
    "defences": [{"name": "clipped-updates", "max_norm": 1.0, "label": "c"}],
    "engine": {"name": "local", "workers": 1},
}
FULL["federation"] = PLAIN["federation"] | {
    "attendance": {"2": [0, 1]},
    "strategy": {"name": "FedAvg"},
}
"""The experiment in which an experiment's own settings are changed: it has all sections."""

_ABSENT = "left out"
"""What fedsim fills in by itself, from another setting."""

WANTED = frozenset({"label"})
"""Settings that are given although they have a default, as what they default to is refused."""
LIKELY: Mapping[str, tuple[Any, ...]] = {
    "path": ("t.csv", "t.parquet", "pictures", "saved"),
    "partition_by": ("label", "user"),
    "num_partitions": (_ABSENT,),
    "partition_sizes": ([40, 40, 40],),
    "noise_multiplier": (0.01, 1.0),
    "strategy": ({"name": "FedAvg"},),
    "participant": (2,),
}
"""What a setting of this name may well be, before values of its type are tried."""

SMALLER: Mapping[tuple[str, str], Tree] = {
    ("models", "resnet"): {"depth": 8, "width": 4},
    ("models", "densenet"): {"depth": 10, "growth": 4},
    ("datasets", "synthetic-purchase100"): {"records": 400},
    ("datasets", "synthetic-texas100"): {"records": 400},
    ("attacks", "supervised"): {"training": {"epochs": 1, "folds": 2, "repeats": 1}},
    ("attacks", "shadow"): {"training": {"epochs": 1, "folds": 2, "repeats": 1}},
    ("attacks", "unsupervised"): {"training": {"epochs": 1, "landmarks": 10}},
}
"""What plugins are given that are large by default, so that a value takes less time."""

MOST_TRIES = 400


def sound_base(group: str, name: str, begin: Callable[[Tree], None]) -> Tree | None:
    """Return an experiment with a plugin in it that `begin` accepts; None if there is none.

    Settings that must be given are found by trying values of their types.
    """
    for tree in itertools.islice(_tries(group, name), MOST_TRIES):
        try:
            begin(tree)
        except FedsimError:
            continue
        return tree
    return None


def first_try(group: str, name: str) -> Tree:
    """Return the first of the experiments that `sound_base` tries."""
    return next(_tries(group, name))


def _tries(group: str, name: str) -> Iterator[Tree]:
    outer = [one for one in plugin_places(group, name) if _is_outer(group, one.path)]
    needed = [one for one in outer if one.required or one.path[-1] in WANTED]
    choices = [(*LIKELY.get(str(one.path[-1]), ()), *sound_values(one), _ABSENT) for one in needed]
    given = [
        dict(zip((str(one.path[-1]) for one in needed), values, strict=True))
        for values in itertools.islice(itertools.product(*choices), MOST_TRIES)
    ]
    given = [{k: v for k, v in one.items() if v is not _ABSENT} for one in given]
    settings = [{**SMALLER.get((group, name), {}), **one} for one in given]
    if group == "datasets":
        settings = [{"test_records": 60, **one} for one in settings] + settings
    for chosen in settings:
        for base in BASES.values():
            yield with_plugin(base, group, {"name": name, **chosen})


def with_plugin(base: Tree, group: str, choice: Tree) -> Tree:
    """Return a base with a plugin in its place; what stands there beside the name stays."""
    kept = {"participants", "records"} if group == "partitioners" else set()
    if group == "attacks":
        choice = {"label": "l", **choice}
    path = GROUP_PATHS[group]
    if group == "partitioners":
        choice = {k: v for k, v in base["partition"].items() if k in kept} | choice
    tree: Tree = with_value(copy.deepcopy(base), path, choice)
    return tree


def _is_outer(group: str, path: Path) -> bool:
    return len(path) == len(GROUP_PATHS[group]) + 1
