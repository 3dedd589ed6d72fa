"""Checks of a partitioner: training sets from the pool, reproducible for equal tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from fedsim.conformance import toy
from fedsim.conformance.checklist import Check, Failed
from fedsim.data import Dataset, partition
from fedsim.data.partitioners import TrainingSets
from fedsim.data.splitting import from_arrays
from fedsim.errors import FedsimError

COUNTS = (3, 2, 4, 5, 10, 1)
"""How many participants are tried, in this order: a partitioner may be for a number of its own."""


@dataclass(frozen=True)
class PartitionerTrial:
    """A partitioner by name and settings, on a small data set that has users."""

    name: str
    settings: Mapping[str, Any]

    @cached_property
    def dataset(self) -> Dataset:
        """Clouds of points, each record of one of 20 users."""
        users = np.random.default_rng(1).integers(20, size=len(toy.clouds()))
        arrays = replace(toy.clouds(), groups=users)
        return from_arrays("clouds", arrays, test_records=60, seed=0)

    @cached_property
    def task(self) -> tuple[int, int | None]:
        """The first numbers of participants and records that it accepts."""
        problem: FedsimError | None = None
        for participants in COUNTS:
            for records in (None, 20):
                try:
                    self.drawn(participants, records)
                except FedsimError as error:
                    problem = problem or error
                else:
                    return participants, records
        raise Failed(f"it draws for none of {list(COUNTS)} participants: {problem}")

    def drawn(self, participants: int, records: int | None, seed: int = 0) -> TrainingSets:
        """Return what it draws."""
        return partition(
            self.dataset,
            self.name,
            participants=participants,
            records=records,
            settings=self.settings,
            seed=seed,
        )


def partitioner_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of a partitioner."""
    trial = PartitionerTrial(name, settings)
    claims: Mapping[str, Callable[[PartitionerTrial], str | None]] = {
        "gives the same training sets to the same task": repeats,
        "draws for another seed": draws_for_another_seed,
    }
    return [
        Check(
            "gives each participant ids of the pool, none twice", partial(draws, trial), gate=True
        ),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
        Check("how many records it shares out", partial(covers, trial), decides=False),
    ]


def draws(trial: PartitionerTrial) -> str:
    """`partition` itself refuses ids outside the pool, and duplicates."""
    participants, records = trial.task
    return f"for {participants} participants" + (f" with {records} records each" if records else "")


def repeats(trial: PartitionerTrial) -> None:
    """Every draw comes from the task's seed, so a resumed run has the same participants."""
    first = trial.drawn(*trial.task)
    np.random.seed(1)  # noqa: NPY002 - a partitioner that draws there is found by it
    again = trial.drawn(*trial.task)
    if not all(np.array_equal(one, other) for one, other in zip(first, again, strict=True)):
        raise Failed(
            "asked again, it gives other training sets; every draw must come from "
            "task.generator(...) or task.seed"
        )


def draws_for_another_seed(trial: PartitionerTrial) -> str:
    """A partitioner that works for one seed only would stop a study with several seeds."""
    first, other = trial.drawn(*trial.task), trial.drawn(*trial.task, seed=1)
    alike = all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    return "the same training sets" if alike else "other training sets"


def covers(trial: PartitionerTrial) -> str:
    """Records of no participant are non-members, possibly of classes that nobody trains on."""
    together = np.concatenate(trial.drawn(*trial.task))
    ids = np.unique(together)
    pool = trial.dataset.pool_records
    classes = np.unique(trial.dataset.labels[pool]).size
    trained = np.unique(trial.dataset.labels[ids]).size
    return (
        f"{len(ids)} of {len(pool)}, of {trained} of {classes} classes; {len(together) - len(ids)} "
        "of them given more than once"
    )
