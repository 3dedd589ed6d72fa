"""Who trains on which records.

Our own schemes are `disjoint` and `overlapping` (each participant draws independently, as in the
federations of Nasr, Shokri and Houmansadr, S&P 2019). Any other name is a partitioner of
flwr-datasets (``DirichletPartitioner``, ``ShardPartitioner``, ...), which is shown labels only.
"""

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim import plugins, seeds
from fedsim.data.dataset import Dataset
from fedsim.errors import DataError, FedsimError, listed

TrainingSets = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True)
class LabelTask:
    """What a scheme has to do: draw `participants` training sets from the records of a pool."""

    pool: NDArray[np.int64]
    labels: NDArray[np.int64]
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

    def shuffled(self, path: str, count: int) -> NDArray[np.int64]:
        """Return `count` different records of the pool in random order."""
        return seeds.generator(self.seed, "partition", path).permutation(self.pool)[:count]


def partition(
    dataset: Dataset,
    name: str,
    *,
    participants: int,
    records: int | None,
    settings: Mapping[str, object],
    seed: int,
) -> TrainingSets:
    """Draw each participant's training set from the data set's training pool.

    Parameters
    ----------
    name
        ``disjoint``, ``overlapping``, or a class of ``flwr_datasets.partitioner``.
    participants
        How many training sets to draw.
    records
        How many records each participant has (on average, for the partitioners of flwr-datasets);
        None splits the whole pool.
    settings
        The scheme's own settings.

    Returns
    -------
    tuple
        One array of record ids a participant, in the order in which they were drawn; no id occurs
        twice in one.

    Raises
    ------
    DataError
        If there is no such scheme, a setting is not valid, or the records do not suffice.
    """
    if participants < 1 or (records is not None and records < 1):
        raise DataError(
            f"cannot give {records} records to each of {participants} participants; both must be "
            "at least 1"
        )
    task = LabelTask(dataset.pool_records, dataset.labels, participants, records, seed)
    scheme = SCHEMES.get(name)
    if scheme is None:
        return _by_flower(task, name, settings)
    if settings:
        raise DataError(f"partition {name} has no settings, but {listed(settings)} was given")
    return scheme(task)


def _disjoint(task: LabelTask) -> TrainingSets:
    each = task.records or max(1, len(task.pool) // task.participants)
    needed = each * task.participants
    task.require(needed)
    return tuple(np.split(task.shuffled("disjoint", needed), task.participants))


def _overlapping(task: LabelTask) -> TrainingSets:
    if task.records is None:
        raise DataError("partition overlapping needs records, the size of each participant's draw")
    if task.records > len(task.pool):
        raise DataError(
            f"the training pool has {len(task.pool)} records, fewer than the {task.records} that "
            "each participant is to draw"
        )
    return tuple(
        task.shuffled(f"overlapping {participant}", task.records)
        for participant in range(task.participants)
    )


SCHEMES: Mapping[str, Callable[[LabelTask], TrainingSets]] = {
    "disjoint": _disjoint,
    "overlapping": _overlapping,
}


def _by_flower(task: LabelTask, name: str, settings: Mapping[str, object]) -> TrainingSets:
    from datasets import Dataset as Table  # here: these two take seconds to import
    from flwr_datasets import partitioner as offered

    if name not in offered.__all__ or name == "Partitioner":
        raise DataError(
            f"there is no partition {name!r}; valid: {listed(SCHEMES)}, or of flwr-datasets "
            f"{listed(set(offered.__all__) - {'Partitioner'})}"
        )
    count = len(task.pool) if task.records is None else task.records * task.participants
    task.require(count)
    pool = task.shuffled(name, count)
    partitioner = _built(getattr(offered, name), name, task, settings)
    try:
        with _quiet():
            partitioner.dataset = Table.from_dict({"label": task.labels[pool], "record": pool})
            made = partitioner.num_partitions
            if made != task.participants:
                raise DataError(
                    f"partition {name} made {made} parts for {task.participants} participants"
                )
            drawn = tuple(
                np.asarray(partitioner.load_partition(part)["record"], dtype=np.int64)
                for part in range(made)
            )
    except FedsimError:
        raise
    except Exception as error:  # partitioners refuse in many ways, some of them by accident
        raise DataError(f"partition {name} failed: {error}") from error
    empty = [part for part, records in enumerate(drawn) if not len(records)]
    if empty:
        raise DataError(
            f"partition {name} leaves participants without records ({listed(empty)}); give more "
            "records or a less skewed setting"
        )
    return drawn


def _built(
    plugin: Callable[..., Any], name: str, task: LabelTask, settings: Mapping[str, object]
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
