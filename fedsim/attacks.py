"""The plugin contract of an attack: from what an adversary saw to one score per record.

Whatever produces such scores, a trained network or one line of arithmetic, is evaluated by the same
code. This layer knows no attack by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset
from fedsim.finding import Finding
from fedsim.machine import memory_there as memory_there
from fedsim.objectives import Classification, Objective
from fedsim.observation.needs import UNDECLARED, Needs
from fedsim.observation.shared_scores import ScoreSource
from fedsim.observation.view import RecordIds as RecordIds
from fedsim.observation.view import ShadowFederation as ShadowFederation
from fedsim.observation.view import View as View
from fedsim.progress import SILENCE, Watcher


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
    objective
        The training objective.
    """

    new_model: Callable[[], nn.Module]
    dataset: Dataset
    records: RecordIds
    snapshots: int
    objective: Objective = field(default_factory=Classification)


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


class Attack(ABC):
    """Scores records by how much they look like members."""

    stochastic: ClassVar[bool] = False
    """Whether another seed gives other scores; if not, one seed is enough."""

    baseline: ClassVar[bool] = False
    """Whether it stands in reports for comparison only."""

    headline: ClassVar[bool] = False
    """Whether a report's first sentence is of it, wherever it was made: it takes in the others.
    Of several, or without any, it is of the one that does best on the records that are known."""

    by_rounds: ClassVar[bool] = False
    """Whether it is quick enough to be scored again on the first observed rounds only, several
    times, so that reports can say how exposure grows with them."""

    needs: Needs = UNDECLARED
    """What it reads: of the snapshots, of the records, and what it learns from."""

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return how much memory one query will take; None if it is little, or not known.

        Asked before anything is simulated, so that what this machine cannot do is refused then and
        not after the last round. Mistakes in the settings may be refused here, too.

        Raises
        ------
        FedsimError
            If the attack cannot be made on such a model.
        """
        return None

    def dry_run(
        self, view: View, known: AuxiliaryRecords, candidates: RecordIds
    ) -> NDArray[np.float64] | None:
        """Fail here if `score` would fail: called before anything is simulated.

        By default the records are scored. An attack that trains for long does less than that, and
        returns None.

        Parameters
        ----------
        view
            What the adversary will see in one round, with the initial parameters in it.
        known, candidates
            A few of the records that `score` will be given.

        Raises
        ------
        FedsimError
            If the attack cannot be made on such a model or such records.
        """
        return self.score(view, known, candidates, 0, SILENCE)

    def extract(self, view: View, watcher: Watcher) -> None:  # noqa: B027 - most need nothing
        """Keep in ``view.features`` what `score` and `trace` will read of the snapshots.

        Called for the snapshots of one round, where parameters are not kept (``snapshots.keep:
        features``). An attack whose needs name features must do it to be run there.
        """

    @abstractmethod
    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return one finite score per candidate; higher means member.

        Parameters
        ----------
        view
            What the adversary saw.
        known
            What it knows.
        candidates
            Record ids to be scored, all of them in ``view.records``. They contain the known
            records too, whose scores choose the threshold: an attack that learns from the known
            records must score each of them by a model that has not seen it (cross-fitting).
        seed
            The only source of randomness.
        watcher
            Receives the progress.

        Returns
        -------
        Array of shape (len(candidates),).
        """

    def score_seeds(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[NDArray[np.float64]]:
        """Return the scores by each of several seeds; by default those of `score`, one by one.

        For attacks whose seeds can share work: what they read, or the training of their networks.
        """
        return [self.score(view, known, candidates, seed, watcher) for seed in attack_seeds]

    def shared_scores(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[NDArray[np.float64]]:
        """Return the scores by each of several seeds, computed once for a query.

        To be called, not to be overridden: by an attack that is made of others, with the view and
        the seeds that it was given. Where the experiment lists the same attack by itself, nothing
        is computed twice. The same attack is one of the same class with equal attributes. It is
        given what it needs of the view, and is scored once for all seeds if it is not `stochastic`.

        >>> def mean_of(attacks, view, known, candidates, attack_seeds, watcher):
        ...     asked = view, known, candidates, attack_seeds, watcher
        ...     return np.mean([attack.shared_scores(*asked) for attack in attacks], axis=0)
        """
        given, drawn = view.given(self.needs), attack_seeds if self.stochastic else attack_seeds[:1]
        source = ScoreSource(
            type(self),
            dict(vars(self)),
            given.dataset,
            (given.adversary, given.query, given.seen, given.shadows, given.objective),
            (known.records, known.member, candidates, given.records),
            tuple(drawn),
        )
        rows = view.shared.rows(
            source, lambda: self.score_seeds(given, known, candidates, drawn, watcher)
        )
        return rows if self.stochastic else list(rows) * len(attack_seeds)


@runtime_checkable
class Reporting(Protocol):
    """An attack that reports figures or a small table beside its scores."""

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return what is found of one query; asked once, after the scores were made."""


@runtime_checkable
class Traced(Protocol):
    """An attack whose signal can be followed over the snapshots; the report draws its course."""

    def trace(self, view: View, watcher: Watcher) -> NDArray[np.float64]:
        """Return the signal of shape (len(view.answering), len(view.records))."""
