"""What an active adversary needs to compute on its target records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset, MembershipQuery, load_dataset
from fedsim.models import build_model
from fedsim.objectives import Classification, Objective


@dataclass(frozen=True)
class AttackerResources:
    """What an active adversary needs to compute on its target records.

    Attributes
    ----------
    new_model
        Returns a new model.
    dataset
        The target records' features and labels.
    targets
        Record ids (n,), or record ids by the key of their query: members and non-members alike,
        without their membership.
    seed
        The only source of randomness.
    objective
        The training objective.
    """

    new_model: Callable[[], nn.Module]
    dataset: Dataset
    targets: NDArray[np.int64] | Mapping[str, NDArray[np.int64]]
    seed: int = 0
    objective: Objective = field(default_factory=Classification)

    def targets_of(self, query: MembershipQuery) -> NDArray[np.int64]:
        """Return the targets (n,) of a query."""
        if isinstance(self.targets, Mapping):
            return self.targets[query.key]
        return self.targets


@lru_cache(maxsize=1)
def resources_from_membership(
    model: str, data: str, ledger: Path, data_dir: Path | None, seed: int
) -> AttackerResources:
    """Return resources whose targets are listed in a membership file; see `Adversary.aim_at`.

    Raises
    ------
    FedsimError
        If any of it is missing or not valid.
    """
    from fedsim.data import read_membership  # here: Arrow, for the attacker's process only

    dataset = load_dataset(data, {}, data_dir=data_dir, seed=seed)
    membership = read_membership(ledger)
    records = membership.ledger(dataset, seed).audit(membership.query).records
    dataset, targets = dataset.only(records), np.arange(len(records))
    new_model = partial(
        build_model,
        model,
        {},
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
        seed=seed,
    )
    return AttackerResources(new_model, dataset, targets, seed)
