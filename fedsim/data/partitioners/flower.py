"""Partitioners of flwr-datasets, and classes that derive from its `Partitioner`.

They get a table of the pool's records with the columns ``label`` and ``record`` (the id), and
``group`` if the data set has groups.
"""

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fedsim import plugins, seeds
from fedsim.data.partitioners.base import PartitionTask
from fedsim.data.sources.base import discard_message
from fedsim.errors import DataError, FedsimError, listed

LIBRARY = "flwr_datasets."


def is_of_flower(plugin: Callable[..., Any]) -> bool:
    """Return whether a plugin derives from flwr-datasets' `Partitioner`, without importing it."""
    return any(kind.__module__.startswith(LIBRARY) for kind in getattr(plugin, "__mro__", ()))


def partition_by_flower(
    plugin: Callable[..., Any],
    name: str,
    task: PartitionTask,
    settings: Mapping[str, object],
    say: Callable[[str], None] = discard_message,
) -> list[Any]:
    """Return the record ids that a partitioner of flwr-datasets assigns to each participant.

    If it partitions by user, each participant is a user, in the order of the users' names.

    Raises
    ------
    DataError
        If the partitioner fails, or makes another number of parts.
    """
    from datasets import Dataset as Table  # here: it takes seconds to import

    count = len(task.pool) if task.records is None else task.records * task.participants
    task.require(count)
    pool = task.shuffled(name, count)
    by = _column(plugin, name, task, settings)
    if by == "group" and task.groups is not None and _is_natural(plugin):
        pool = pool[np.argsort(task.groups[pool], kind="stable")]
    columns = {"label": task.labels[pool], "record": pool}
    if task.groups is not None:
        columns["group"] = task.groups[pool]
    partitioner = _built(plugin, name, task, settings, by)
    try:
        with _quiet(name, say):
            partitioner.dataset = Table.from_dict(columns)
            made = partitioner.num_partitions
            if made != task.participants:
                instead = f"; set participants: {made}" if _is_natural(plugin) else ""
                raise DataError(
                    f"partition {name} made {made} parts for {task.participants} participants"
                    + instead
                )
            return [
                np.asarray(partitioner.load_partition(part)["record"], dtype=np.int64)
                for part in range(made)
            ]
    except FedsimError:
        raise
    except Exception as error:  # partitioners raise many types of errors
        raise DataError(f"partition {name} failed: {error}") from error


def require_built(
    plugin: Callable[..., Any], name: str, task: PartitionTask, settings: Mapping[str, object]
) -> None:
    """Raise `DataError` or `PluginError` unless a partitioner accepts its settings."""
    _built(plugin, name, task, settings, _column(plugin, name, task, settings))


def _is_natural(plugin: Callable[..., Any]) -> bool:
    """Return whether a partitioner makes natural partitions, by user instead of by label."""
    return any("NaturalId" in kind.__name__ for kind in getattr(plugin, "__mro__", ()))


def _column(
    plugin: Callable[..., Any], name: str, task: PartitionTask, settings: Mapping[str, object]
) -> str:
    """Return the column by which a partitioner divides: labels, or users for natural ones."""
    accepted = inspect.signature(plugin).parameters
    default = "user" if _is_natural(plugin) else "label"
    by = settings.get("partition_by", default)
    if by != default and "partition_by" not in accepted:
        raise DataError(f"partition {name} has no setting partition_by")
    if by not in ("label", "user"):
        raise DataError(f"partition {name}: partition_by is {by!r}; valid: label, user")
    if by == "user" and task.groups is None:
        raise DataError(
            f"partition {name} gives participants the records of users, but the data have no "
            "users; name a user column in the data set's settings (csv, parquet, huggingface), "
            "return Arrays with groups, or choose another partition"
        )
    return "group" if by == "user" else "label"


def _built(
    plugin: Callable[..., Any],
    name: str,
    task: PartitionTask,
    settings: Mapping[str, object],
    by: str,
) -> Any:
    """Build a partitioner with its settings and with those of the experiment."""
    known = {
        "num_partitions": task.participants,
        "partition_by": by,
        "seed": seeds.derive(task.seed, "partition", name, "partitioner"),
    }
    accepted = inspect.signature(plugin).parameters
    ours = {key: value for key, value in known.items() if key in accepted}
    settings = {key: value for key, value in settings.items() if key != "partition_by"}
    taken = set(settings) & set(ours)
    if taken:
        raise DataError(
            f"partition {name}: leave out {listed(taken)}, which the experiment says elsewhere"
        )
    arguments = plugins.checked(plugin, f"partition {name}", {**ours, **settings})
    try:
        return plugin(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"partition {name}: {error}") from error


@contextlib.contextmanager
def _quiet(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Suppress the partitioners' progress bars, and report each of their warnings once."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(" ".join(str(one.message).split()) for one in caught):
        say(f"partition {name}: {text}")
