"""The contract of a partitioner: which participant trains on which records.

A plugin of the group ``partitioners`` is a function with a parameter `task`, or a class with a
method `partition`; its other parameters are its settings, which stand beside the name in the
experiment. Either returns one list of record ids a participant; one with an empty list takes no
part in training.
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
    """What a partitioner has to do: draw `participants` training sets from the records of a pool.

    A record's id is its row number in the data set, so that a partitioner can look up what it knows
    of a record (the hospital that it is from, say) in a file or an array of its own.

    Attributes
    ----------
    pool
        Ids of the records that may be trained on, ascending, shape (n,).
    labels
        Labels of *all* records of the data set, shape (N, ...) as its objective has them (class
        numbers of shape (N,) in classification); ``labels[pool]`` are the pool's.
    groups
        The group (a user, say) of all records, shape (N,), where the data set has groups.
    participants
        How many training sets are wanted.
    records
        How many records each is to have; None shares out all there are.
    seed
        Seed of the experiment; `generator` and `shuffled` derive theirs from it.

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
        """Return a source of random numbers of its own for each `path` (any text)."""
        return seeds.generator(self.seed, "partition", path)

    def shuffled(self, path: str, count: int) -> NDArray[np.int64]:
        """Return `count` different records of the pool in random order."""
        return self.generator(path).permutation(self.pool)[:count]


@runtime_checkable
class Partitioner(Protocol):
    """A partitioner that is a class; the parameters of its constructor are its settings."""

    def partition(self, task: PartitionTask) -> Sequence[Iterable[int]]:
        """Return the ids of each participant's records, `task.participants` lists."""
        ...


def training_sets(task: PartitionTask, name: str, drawn: object) -> TrainingSets:
    """Return what a partitioner has drawn as arrays of record ids.

    Raises
    ------
    DataError
        If it is not one list of ids of the pool a participant, each id at most once in it.
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
