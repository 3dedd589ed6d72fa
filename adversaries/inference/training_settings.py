"""How an attack network is trained: settings, whose defaults suit the default network."""

from dataclasses import dataclass, field
from typing import Literal

from adversaries.inference.memory import Networks
from adversaries.inference.network import NetworkPlan, NetworkSettings
from fedsim.errors import ConfigError


@dataclass(frozen=True)
class SupervisedSettings:
    """How the attack network is trained.

    Attributes
    ----------
    network
        Its sizes; whose defaults the rest of the defaults suit (`plans` has the paper's).
    folds
        K, the number of parts of the known records.
    repeats
        How often the known records are cut anew; scores are means over the repeats.
    epochs
        Epochs trained at most; the best one is chosen on the held-out records.
    patience
        Training ends after as many epochs that are no better than the best one before them.
    batch_size
        Half members, half non-members.
    learning_rate
        Learning rate of the encoder; AdamW, which without weight decay is Adam.
    component_learning_rate
        Learning rate of the components that read raw vectors; lower, because they have thousands of
        weights for the few thousand records that are known.
    weight_decay
        Of all.
    schedule
        Learning rates fall to zero along a cosine, or stay.
    loss
        Squared error of the membership probability (the paper's), or its cross-entropy.
    """

    network: NetworkPlan = field(default_factory=NetworkSettings)
    folds: int = 5
    repeats: int = 1
    epochs: int = 40
    patience: int = 5
    batch_size: int = 128
    learning_rate: float = 6e-3
    component_learning_rate: float = 3e-4
    weight_decay: float = 0.1
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["squared-error", "cross-entropy"] = "cross-entropy"

    def __post_init__(self) -> None:
        least = {"folds": 2, "repeats": 1, "epochs": 1, "patience": 1, "batch_size": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        for name in ("learning_rate", "component_learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """How many epochs are trained at most, of all networks."""
        return self.folds * self.repeats * self.epochs

    @property
    def networks(self) -> Networks:
        """What is trained, for the sake of the memory that it takes."""
        return Networks(
            self.network.build,
            self.folds * self.repeats,
            self.epochs,
            self.network.vector_snapshots,
        )
