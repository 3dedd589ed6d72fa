"""From the arrays of a source to a data set, with a test split drawn where the source has none."""

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.arrays import Arrays
from fedsim.data.dataset import Dataset
from fedsim.errors import DataError

DEFAULT_TEST_FRACTION = 0.2


def from_arrays(
    name: str,
    arrays: Arrays,
    *,
    test_records: int | None,
    seed: int,
    test_by_user: bool = False,
) -> Dataset:
    """Return `arrays` as a data set, drawing a test split by `seed` if the source has none.

    Parameters
    ----------
    test_records
        The number of records to hold out (default: a fifth), if the source has no test split.
    test_by_user
        Whether all records of a user are held out together, until there are that many records.

    Raises
    ------
    DataError
        If the source has its own test split and `test_records` is given, or too few remain.
    """
    records = len(arrays)
    if arrays.test is not None:
        if test_records is not None:
            raise DataError(
                f"it has its own test split of {int(arrays.test.sum())} records; leave "
                "test_records out"
            )
        test = arrays.test
    else:
        held_out = int(records * DEFAULT_TEST_FRACTION) if test_records is None else test_records
        if not 0 < held_out < records:
            raise DataError(
                f"cannot hold out {held_out} test records of {records}; valid: 1..{records - 1}"
            )
        random = seeds.generator(seed, "test split")
        if test_by_user and arrays.groups is not None:
            test = _users_held_out(arrays.groups, held_out, random)
        else:
            test = np.zeros(records, dtype=np.bool_)
            test[random.permutation(records)[:held_out]] = True
    classes = arrays.num_classes
    assert classes is not None  # noqa: S101  set by Arrays itself
    return Dataset(
        name=name,
        features=arrays.features,
        labels=arrays.labels,
        test=test,
        num_classes=classes,
        mean=arrays.mean,
        std=arrays.std,
        class_names=arrays.class_names,
        groups=arrays.groups,
        group_names=arrays.group_names,
        objective=arrays.objective,
        label_values=arrays.label_values,
        own_split=arrays.test is not None,
    )


def _users_held_out(
    groups: NDArray[np.int64], records: int, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the records of random users: the fewest that together have `records` records."""
    users = random.permutation(int(groups.max()) + 1)
    held = np.cumsum(np.bincount(groups)[users])
    if len(users) < 2:
        raise DataError("it has one user only, so none can be held out")
    count = min(int(np.searchsorted(held, records)) + 1, len(users) - 1)
    test: NDArray[np.bool_] = np.isin(groups, users[:count])
    return test
