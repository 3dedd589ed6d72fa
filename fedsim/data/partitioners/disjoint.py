"""Training sets that share no record."""

import numpy as np

from fedsim.data.partitioners.base import PartitionTask, TrainingSets


def disjoint(task: PartitionTask) -> TrainingSets:
    """Share out records at random, each to one participant at most."""
    each = task.records or max(1, len(task.pool) // task.participants)
    needed = each * task.participants
    task.require(needed)
    return tuple(np.split(task.shuffled("disjoint", needed), task.participants))
