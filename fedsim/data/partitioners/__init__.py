"""Partitioners, which assign records to participants: their contract, and fedsim's own."""

from fedsim.data.partitioners.base import Partitioner, PartitionTask, TrainingSets, training_sets

__all__ = ["PartitionTask", "Partitioner", "TrainingSets", "training_sets"]
