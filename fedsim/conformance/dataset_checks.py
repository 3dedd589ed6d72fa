"""Checks of a data set: reproducible records, and enough of them to audit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from fedsim.conformance.checklist import Check, Failed, NotApplicable
from fedsim.data import Dataset, load_dataset


@dataclass(frozen=True)
class DatasetTrial:
    """A data set by name and settings, decoded into a folder."""

    name: str
    settings: Mapping[str, Any]
    folder: Path

    def loaded(self) -> Dataset:
        """Return the data set, read again."""
        return load_dataset(
            self.name, self.settings, data_dir=None, cache_dir=self.folder / "cache", seed=0
        )

    @cached_property
    def dataset(self) -> Dataset:
        """The data set."""
        return self.loaded()


def dataset_checks(name: str, settings: Mapping[str, Any], folder: Path) -> Sequence[Check]:
    """Return the checks of a data set."""
    trial = DatasetTrial(name, settings, folder)
    claims: Mapping[str, Callable[[DatasetTrial], str | None]] = {
        "gives the same records in the same order again": repeats,
        "gives batches of finite numbers": gives_batches,
        "has several records of a user": has_users,
    }
    return [
        Check("gives records that fedsim can read", partial(gives_records, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
        Check("classes of pool and test split", partial(counts_classes, trial), decides=False),
        Check("how many records have a copy", partial(counts_copies, trial), decides=False),
    ]


def gives_records(trial: DatasetTrial) -> str:
    """`Arrays` itself refuses what cannot be read."""
    data = trial.dataset
    test = int(data.test.sum())
    return (
        f"{len(data):,} records of shape {data.input_shape}, {data.num_classes} outputs, {test:,} "
        "for testing"
    )


def repeats(trial: DatasetTrial) -> None:
    """A record's id is its position: another order gives another experiment."""
    first, again = trial.dataset, trial.loaded()
    for what in ("features", "labels", "test"):
        if not np.array_equal(getattr(first, what), getattr(again, what)):
            raise Failed(
                f"read again, it gives other {what}; every draw must come from a seed of its own, "
                "and files must be read in a fixed order"
            )


def gives_batches(trial: DatasetTrial) -> str:
    """What the model is given."""
    inputs, targets = trial.dataset.batch(trial.dataset.pool_records[:8])
    if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
        raise Failed("a batch has inputs that are not finite")
    return f"inputs {inputs.dtype} {tuple(inputs.shape)}, targets {targets.dtype}"


def counts_classes(trial: DatasetTrial) -> str:
    """A class that only one side has reveals members without any model."""
    data = trial.dataset
    if data.labels.ndim != 1 or data.labels.dtype.kind not in "iu":
        raise NotApplicable("its labels are no class numbers")
    pool, test = (set(data.labels[ids].tolist()) for ids in (data.pool_records, data.test_records))
    return f"{len(pool & test)} in both, {len(pool ^ test)} in one of them only"


def has_users(trial: DatasetTrial) -> str:
    """Users (`groups`) of one record each are records."""
    groups = trial.dataset.groups
    if groups is None:
        raise NotApplicable("its records have no groups")
    _, counts = np.unique(groups, return_counts=True)
    if counts.max() < 2:
        raise Failed("every user has one record; leave `groups` out")
    return f"{len(counts):,} users with {counts.min()} to {counts.max()} records"


def counts_copies(trial: DatasetTrial) -> str:
    """A copy of a member is not a valid non-member."""
    return f"{int(trial.dataset.duplicate.sum()):,} of {len(trial.dataset):,}"
