"""Training sets that share no record."""

import numpy as np

from fedsim.data.partitioners.base import PartitionTask, TrainingSets


def disjoint(task: PartitionTask) -> TrainingSets:
    """Distribute records at random, each to at most one participant."""
    each = task.records or max(1, len(task.pool) // task.participants)
    needed = each * task.participants
    task.require(needed)
    return tuple(np.split(task.shuffled("disjoint", needed), task.participants))
