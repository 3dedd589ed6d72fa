"""The plugin contract of an attack: from what an adversary saw to one score a record.

Whatever produces such scores, a trained network or one line of arithmetic, is judged by the same
code. This layer knows no attack by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset, Question
from fedsim.progress import Watcher
from fedsim.snapshots import Snapshot

RecordIds = NDArray[np.int64]


@dataclass(frozen=True)
class Observation:
    """What an adversary hands to the inference stage.

    Attributes
    ----------
    adversary
        The adversary's label.
    question
        Whose data is asked about.
    snapshots
        What was seen, in the order of the rounds; never empty.
    new_model
        Makes the model that the parameters of a snapshot fit into.
    dataset
        Where the audited records' features and labels are. Its membership is not in here.
    records
        All audited record ids, sorted: what an attack may be asked about.
    features
        A folder in which extracted features are kept; attacks share it.
    rehearsals
        What the attacker saw in federations of its own, as many as the attacks ask for.
    """

    adversary: str
    question: Question
    snapshots: tuple[Snapshot, ...]
    new_model: Callable[[], nn.Module]
    dataset: Dataset
    records: RecordIds
    features: Path
    rehearsals: tuple["Rehearsal", ...] = ()


@dataclass(frozen=True)
class Rehearsal:
    """A federation of the attacker's own, like the real one but on other records.

    Attributes
    ----------
    observation
        What the attacker saw of the victim's stand-in; its records are to be learned from.
    member
        (n,) their truth.
    overlapping
        How many of the records that it was drawn from are training data or tested in the real
        federation; above 0 only where there are too few others.
    drawn
        How many records it was drawn from.
    """

    observation: Observation
    member: NDArray[np.bool_]
    overlapping: int
    drawn: int


@dataclass(frozen=True)
class Known:
    """The records whose membership the attacker knows: ids (n,) and truth (n,)."""

    records: RecordIds
    member: NDArray[np.bool_]


class Attack(ABC):
    """Scores records by how much they look like members."""

    stochastic: ClassVar[bool] = False
    """Whether another seed gives other scores; if not, one seed is enough."""

    baseline: ClassVar[bool] = False
    """Whether it stands in reports for comparison only."""

    by_rounds: ClassVar[bool] = False
    """Whether it is quick enough to be scored again on the first observed rounds only, several
    times, so that reports can say how exposure grows with them."""

    rehearsals: int = 0
    """How many federations of its own it wants to have seen."""

    @abstractmethod
    def score(
        self,
        observation: Observation,
        known: Known,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return one finite score a candidate; higher means member.

        Parameters
        ----------
        observation
            What the adversary saw.
        known
            What it knows.
        candidates
            Record ids to be scored, all of them in ``observation.records``. They contain the known
            records too, whose scores choose the threshold: an attack that learns from the known
            records must score each of them by a model that has not seen it (cross-fitting).
        seed
            All randomness comes from it.
        watcher
            Is told how far it is.

        Returns
        -------
        Array of shape (len(candidates),).
        """


@runtime_checkable
class Traced(Protocol):
    """An attack whose signal can be followed over the snapshots; the report draws its course."""

    def trace(self, observation: Observation, watcher: Watcher) -> NDArray[np.float64]:
        """Return the signal of shape (len(observation.snapshots), len(observation.records))."""
