"""The plugin contract of an attack: from what an adversary saw to one score a record.

Whatever produces such scores, a trained network or one line of arithmetic, is judged by the same
code. This layer knows no attack by name.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset, MembershipQuery
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import Watcher

RecordIds = NDArray[np.int64]
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


@dataclass(frozen=True)
class Observation:
    """What an adversary hands to the inference stage.

    Attributes
    ----------
    adversary
        The adversary's label.
    query
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
    shadow federations
        What the attacker saw in federations of its own, as many as the attacks ask for.
    """

    adversary: str
    query: MembershipQuery
    snapshots: tuple[Snapshot, ...]
    new_model: Callable[[], nn.Module]
    dataset: Dataset
    records: RecordIds
    features: Path
    shadows: tuple["ShadowFederation", ...] = ()


@dataclass(frozen=True)
class ShadowFederation:
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
class AuxiliaryRecords:
    """The records whose membership the attacker knows: ids (n,) and truth (n,)."""

    records: RecordIds
    member: NDArray[np.bool_]


@dataclass(frozen=True)
class ExpectedObservation:
    """What an attack is going to be given, as far as it is known before anything is simulated.

    Attributes
    ----------
    new_model
        Makes the model whose parameters will be seen.
    dataset
        Where the audited records' features and labels are. Its membership is not in here.
    records
        All audited record ids, sorted.
    snapshots
        In how many rounds the victim is sure to be seen.
    """

    new_model: Callable[[], nn.Module]
    dataset: Dataset
    records: RecordIds
    snapshots: int


@dataclass(frozen=True)
class MemoryNeed:
    """How much memory an attack takes for one query.

    Attributes
    ----------
    size
        Bytes.
    what
        What takes them: ``5 networks, one after the other, of 262 million weights``.
    instead
        What to do for less, as the end of a sentence: ``set network: default``.
    """

    size: int
    what: str
    instead: str


def memory_there() -> int:
    """Return the bytes of memory of this machine, or of the container that this is in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return machine


class Attack(ABC):
    """Scores records by how much they look like members."""

    stochastic: ClassVar[bool] = False
    """Whether another seed gives other scores; if not, one seed is enough."""

    baseline: ClassVar[bool] = False
    """Whether it stands in reports for comparison only."""

    by_rounds: ClassVar[bool] = False
    """Whether it is quick enough to be scored again on the first observed rounds only, several
    times, so that reports can say how exposure grows with them."""

    shadows: int = 0
    """How many federations of its own it wants to have seen."""

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return how much memory one query will take; None if it is little, or not known.

        Asked before anything is simulated, so that what this machine cannot do is refused then and
        not after the last round. Mistakes in the settings may be told here, too.

        Raises
        ------
        FedsimError
            If the attack cannot be made on such a model.
        """
        return None

    @abstractmethod
    def score(
        self,
        observation: Observation,
        known: AuxiliaryRecords,
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
