"""Local training: optimisers, the contract of trainers, and the loops that participants run."""

from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

__all__ = ["Batches", "LocalTrainer", "TrainerState"]
