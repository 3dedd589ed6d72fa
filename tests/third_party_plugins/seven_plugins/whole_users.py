"""A partitioner that keeps the records of a user together."""

import numpy as np
from numpy.typing import NDArray

from fedsim import PartitionTask


class WholeUsers:
    """Give all records of a user to one participant, users at random."""

    def partition(self, task: PartitionTask) -> list[NDArray[np.int64]]:
        """Return each participant's record ids."""
        assert task.groups is not None
        users = task.groups[task.pool]
        order = task.generator("whole-users").permutation(np.unique(users))
        parts = np.array_split(order, task.participants)
        return [task.pool[np.isin(users, part)][: task.records] for part in parts]
