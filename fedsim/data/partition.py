"""Drawing the participants' training sets with a partitioner, which is given by its name.

A partitioner is a plugin (see `fedsim.data.partitioners`). A name that no installed plugin has
refers to a class of flwr-datasets (``DirichletPartitioner``, ``ShardPartitioner``, ...).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fedsim import plugins
from fedsim.data.dataset import Dataset
from fedsim.data.partitioners.base import (
    Partitioner,
    PartitionTask,
    TrainingSets,
    training_sets,
)
from fedsim.data.partitioners.flower import (
    is_of_flower,
    partition_by_flower,
    require_built,
)
from fedsim.data.sources.base import discard_message
from fedsim.errors import DataError, FedsimError

GROUP = "partitioners"


def partition(
    dataset: Dataset,
    name: str,
    *,
    participants: int,
    records: int | None,
    settings: Mapping[str, object],
    seed: int,
    say: Callable[[str], None] = discard_message,
) -> TrainingSets:
    """Draw each participant's training set from the data set's training pool.

    Parameters
    ----------
    name
        An installed partitioner, a class of ``flwr_datasets.partitioner``, or a user's own as
        ``module:attribute``.
    participants
        The number of training sets.
    records
        The number of records of each participant (the mean, for the partitioners of
        flwr-datasets); None distributes the whole pool.
    settings
        The partitioner's own settings.
    say
        Called with each warning of a partitioner of flwr-datasets.

    Returns
    -------
    tuple
        For each participant an array of record ids, in the order in which they were drawn; no id
        occurs twice in an array.

    Raises
    ------
    PluginError
        If there is no such partitioner, or a setting is not valid.
    DataError
        If there are too few records, or a partitioner's result is not valid.
    """
    if participants < 1 or (records is not None and records < 1):
        raise DataError(
            f"cannot give {records} records to each of {participants} participants; both must be "
            "at least 1"
        )
    task = PartitionTask(
        pool=dataset.pool_records,
        labels=dataset.labels,
        groups=dataset.groups,
        participants=participants,
        records=records,
        seed=seed,
    )
    plugin = plugins.resolve(GROUP, name)
    if is_of_flower(plugin):
        drawn = partition_by_flower(plugin, name, task, settings, say)
        return training_sets(task, name, drawn)
    built = plugins.build(GROUP, name, settings, task=task)
    return training_sets(task, name, _drawn(built, name, task))


def require_partitioner(
    name: str, participants: int, records: int | None, settings: Mapping[str, object]
) -> None:
    """Raise the errors of `partition` that depend on settings alone; no data are needed.

    Raises
    ------
    PluginError, DataError
        If there is no such partitioner, or it refuses its settings.
    """
    plugin = plugins.resolve(GROUP, name)
    if is_of_flower(plugin):
        nobody = np.zeros(0, dtype=np.int64)
        task = PartitionTask(nobody, nobody, nobody, participants, records, seed=0)
        require_built(plugin, name, task, settings)
    else:
        plugins.check(GROUP, name, settings)


def _drawn(built: Any, name: str, task: PartitionTask) -> object:
    """Return the result of a partitioner; a function's result is `built` itself."""
    if not isinstance(built, Partitioner):
        return built
    try:
        return built.partition(task)
    except FedsimError:
        raise
    except Exception as error:  # a third party's plugin may raise anything
        raise DataError(f"partition {name} failed: {plugins.one_line(error)}") from error
