"""The contract of a kind of canaries: which of a victim's records, and with which labels.

An audit by canaries (`audit.canaries`) asks about records of its own choice. Of those that a kind
crafts, each stays in the victim's data with probability one half, by a coin of its own: what the
one-run bounds of epsilon assume, and what makes members and non-members alike but for training.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset
from fedsim.errors import DataError
from fedsim.objectives import Objective

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CandidateRecords:
    """A victim's records, from which canaries may be made.

    Attributes
    ----------
    dataset
        A data set of the candidates only, as records 0..n-1.
    new_model
        The model as every participant gets it in round 1.
    objective
        What is learned.
    """

    dataset: Dataset
    new_model: Callable[[], nn.Module]
    objective: Objective

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.dataset)

    @cached_property
    def gradient_norms(self) -> NDArray[np.float64]:
        """The norm of each candidate's gradient at the initial parameters, (n,).

        One backward pass a record, in eval mode: right for any module, at a batch of one each.
        """
        model = self.new_model().eval()
        parameters = [one for one in model.parameters() if one.requires_grad]
        norms = np.empty(len(self))
        for record in range(len(self)):
            inputs, targets = self.dataset.batch(np.array([record]))
            loss = self.objective.mean_loss(model(inputs), targets)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            squares = [one.double().square().sum() for one in gradients if one is not None]
            norms[record] = float(torch.stack(squares).sum().sqrt())
        return norms


@dataclass(frozen=True, eq=False)
class CraftedCanaries:
    """What a kind made.

    Attributes
    ----------
    places
        (k,) which candidates, each once.
    labels
        (k, ...) the labels that they get, in the place of their own.
    features
        (k, ...) the features that they get, as the data set stores them; None for their own.
    """

    places: Places
    labels: NDArray[Any]
    features: NDArray[Any] | None = None


class CanaryKind(ABC):
    """A kind of canaries, such as mislabelled records.

    A kind never learns which of them stay in: it crafts, and coins are tossed afterwards.

    >>> class First(CanaryKind):
    ...     '''The first records that there are, as they are.'''
    ...
    ...     def craft(self, candidates, count, random):
    ...         places = np.arange(count)
    ...         return CraftedCanaries(places, candidates.dataset.labels[places])
    """

    @abstractmethod
    def craft(
        self, candidates: CandidateRecords, count: int, random: np.random.Generator
    ) -> CraftedCanaries:
        """Return `count` canaries.

        Parameters
        ----------
        candidates
            The victim's records; at least `count`.
        count
            How many to make.
        random
            The only source of draws.

        Raises
        ------
        FedsimError
            If canaries of this kind cannot be made of such records.
        """


def class_labels(dataset: Dataset, kind: str) -> NDArray[np.int64]:
    """Return the labels of a data set as classes.

    Raises
    ------
    DataError
        If they are numbers, several for a record, or all of one class.
    """
    labels = np.asarray(dataset.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or dataset.num_classes < 2:
        raise DataError(f"audit.canaries: {kind} canaries need records of two or more classes")
    return labels.astype(np.int64)
