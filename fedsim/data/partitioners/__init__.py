"""Who trains on which records: the contract of a partitioner, and ours, one per file."""

from fedsim.data.partitioners.base import Partitioner, PartitionTask, TrainingSets, training_sets

__all__ = ["PartitionTask", "Partitioner", "TrainingSets", "training_sets"]
