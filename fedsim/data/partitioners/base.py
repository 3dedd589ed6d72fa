"""The contract of a partitioner, which assigns records to participants.

A plugin of the group ``partitioners`` is a function with a parameter `task`, or a class with a
method `partition`; its other parameters are its settings, written beside the name in the
experiment. Either returns one list of record ids for each participant; a participant with an empty
list does not train.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.errors import DataError

TrainingSets = tuple[NDArray[np.int64], ...]
"""Record ids, one array per participant."""


@dataclass(frozen=True, eq=False)
class PartitionTask:
    """The task of a partitioner: to draw `participants` training sets from a pool of records.

    A record's id is its row number in the data set, so a partitioner can look up other properties
    of a record (for example its hospital) in a file or an array of its own.

    Attributes
    ----------
    pool
        Ids of the records in the training pool, ascending, shape (n,).
    labels
        Labels of *all* records of the data set, shape (N, ...) in the form of the objective (class
        numbers of shape (N,) for classification); ``labels[pool]`` are the pool's.
    groups
        The group (for example the user) of all records, shape (N,); None without groups.
    participants
        The number of training sets.
    records
        The number of records in each training set; None distributes the whole pool.
    seed
        Seed of the experiment, from which `generator` and `shuffled` derive theirs.

    Examples
    --------
    As a plugin ``{name: "my_module:by_parity", participants: 2}``:

    >>> def by_parity(task: PartitionTask, first: int = 0) -> list[NDArray[np.int64]]:
    ...     return [task.pool[task.pool % 2 == (first + part) % 2] for part in range(2)]
    >>> task = PartitionTask(np.arange(6), np.zeros(6, np.int64), None, 2, None, seed=0)
    >>> [part.tolist() for part in by_parity(task)]
    [[0, 2, 4], [1, 3, 5]]
    """

    pool: NDArray[np.int64]
    labels: NDArray[Any]
    groups: NDArray[np.int64] | None
    participants: int
    records: int | None
    seed: int

    def require(self, needed: int) -> None:
        """Raise `DataError` unless the pool has `needed` records."""
        if needed > len(self.pool):
            raise DataError(
                f"the training pool has {len(self.pool)} records, but {self.participants} "
                f"participants with {self.records} each need {needed}"
            )

    def generator(self, path: str) -> np.random.Generator:
        """Return a random number generator for `path`, any text; each path has its own."""
        return seeds.generator(self.seed, "partition", path)

    def shuffled(self, path: str, count: int) -> NDArray[np.int64]:
        """Return `count` different records of the pool in random order."""
        return self.generator(path).permutation(self.pool)[:count]


@runtime_checkable
class Partitioner(Protocol):
    """A partitioner that is a class; the parameters of its constructor are its settings."""

    def partition(self, task: PartitionTask) -> Sequence[Iterable[int]]:
        """Return `task.participants` lists, each with the ids of a participant's records."""
        ...


def training_sets(task: PartitionTask, name: str, drawn: object) -> TrainingSets:
    """Check the result of a partitioner, and return it as arrays of record ids.

    Raises
    ------
    DataError
        If it is not one list for each participant, of ids of the pool without repetition.
    """
    if not isinstance(drawn, Sequence | np.ndarray) or isinstance(drawn, str):
        raise DataError(
            f"partition {name} returned a {type(drawn).__name__}; valid: one list of record ids "
            "a participant"
        )
    if len(drawn) != task.participants:
        raise DataError(
            f"partition {name} made {len(drawn)} parts for {task.participants} participants"
        )
    found = tuple(_record_ids(name, part, records) for part, records in enumerate(drawn))
    if not any(map(len, found)):
        raise DataError(
            f"partition {name} gives none of {task.participants} participants a record; at least "
            "one must have some to train on"
        )
    for part, records in enumerate(found):
        outside = records[~np.isin(records, task.pool)]
        if len(outside):
            raise DataError(
                f"partition {name} gives participant {part} record {outside[0]}, which is not in "
                f"the training pool; valid: the {len(task.pool)} ids in task.pool"
            )
        ids, counts = np.unique(records, return_counts=True)
        if len(ids) < len(records):
            raise DataError(
                f"partition {name} gives participant {part} record {ids[counts > 1][0]} twice"
            )
    return found


def _record_ids(name: str, part: int, records: object) -> NDArray[np.int64]:
    try:
        found = np.asarray(records)
    except ValueError:  # lists of different lengths
        found = np.empty((1, 0), dtype=object)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise DataError(
            f"partition {name} gives participant {part} no list of record ids, but "
            f"{found.dtype} of shape {found.shape}"
        )
    return found.reshape(-1).astype(np.int64)
