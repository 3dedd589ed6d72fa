"""Partitioners of flwr-datasets, and classes that derive from its `Partitioner`.

They are shown a table of the pool's records with the columns ``label`` and ``record`` (the id), and
``group`` where the data set has groups.
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
from fedsim.errors import DataError, FedsimError, listed

LIBRARY = "flwr_datasets."


def is_of_flower(plugin: Callable[..., Any]) -> bool:
    """Return whether a plugin derives from flwr-datasets' `Partitioner`; does not import it."""
    return any(kind.__module__.startswith(LIBRARY) for kind in getattr(plugin, "__mro__", ()))


def partition_by_flower(
    plugin: Callable[..., Any], name: str, task: PartitionTask, settings: Mapping[str, object]
) -> list[Any]:
    """Return the record ids that a partitioner of flwr-datasets gives each participant.

    Raises
    ------
    DataError
        If it refuses, in whatever way, or makes another number of parts.
    """
    from datasets import Dataset as Table  # here: it takes seconds to import

    count = len(task.pool) if task.records is None else task.records * task.participants
    task.require(count)
    pool = task.shuffled(name, count)
    columns = {"label": task.labels[pool], "record": pool}
    if task.groups is not None:
        columns["group"] = task.groups[pool]
    partitioner = _built(plugin, name, task, settings)
    try:
        with _quiet():
            partitioner.dataset = Table.from_dict(columns)
            made = partitioner.num_partitions
            if made != task.participants:
                raise DataError(
                    f"partition {name} made {made} parts for {task.participants} participants"
                )
            return [
                np.asarray(partitioner.load_partition(part)["record"], dtype=np.int64)
                for part in range(made)
            ]
    except FedsimError:
        raise
    except Exception as error:  # partitioners refuse in many ways, some of them by accident
        raise DataError(f"partition {name} failed: {error}") from error


def _built(
    plugin: Callable[..., Any], name: str, task: PartitionTask, settings: Mapping[str, object]
) -> Any:
    """Build a partitioner, giving it what the experiment already says."""
    known = {
        "num_partitions": task.participants,
        "partition_by": "label",
        "seed": seeds.derive(task.seed, "partition", name, "partitioner"),
    }
    accepted = inspect.signature(plugin).parameters
    ours = {key: value for key, value in known.items() if key in accepted}
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
def _quiet() -> Iterator[None]:
    """Keep back the partitioners' progress bars, and warnings of what they then raise or retry."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
