"""Training sets that are drawn independently of each other."""

from fedsim.data.partitioners.base import PartitionTask, TrainingSets
from fedsim.errors import DataError


def overlapping(task: PartitionTask) -> TrainingSets:
    """Draw for each participant independently (Nasr, Shokri and Houmansadr, S&P 2019)."""
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
