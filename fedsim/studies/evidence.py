"""The scores behind a study's rows, for differences and figures; read when needed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.data import Ledger, MembershipQuery, read_ledger
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import EvaluationResult, Metric, mean_evaluation_result
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.attackers_file import recorded_attackers
from fedsim.stages.figures.carried_over_figures import found_metrics
from fedsim.stages.figures.evaluate import evaluate_scores
from fedsim.stages.figures.score_files import read_scores, read_trace
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.victim_visibility import attackers_with_audits
from fedsim.studies.rows import Row

# The figures have their intervals already; the evaluation results here carry scores, not intervals.
_NO_INTERVALS = 1


@dataclass(frozen=True)
class StoredTrace:
    """A signal over the observed rounds, and the truth about its records.

    Attributes
    ----------
    rounds
        (T,).
    values
        (T, N).
    member, labels
        (N,).
    """

    rounds: np.ndarray
    values: np.ndarray
    member: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class StudyCourse:
    """A signal at both ends of the victims' local training, round by round.

    Attributes
    ----------
    returned
        The signal after training: on the victim's upload or, for a participant, on the aggregate
        without its own ascent.
    sent
        The signal before the same round's training, with an active adversary's changes; only rounds
        of `returned`, possibly none.
    acting
        (K,): the observed rounds in which the adversary acts.
    """

    returned: StoredTrace
    sent: StoredTrace
    acting: np.ndarray

    @property
    def reaction(self) -> StoredTrace:
        """The ratio of the signal after training to before, where both were observed."""
        behind = self.returned.values[np.isin(self.returned.rounds, self.sent.rounds)]
        return replace(self.sent, values=behind / self.sent.values)


@dataclass(frozen=True)
class Evidence:
    """Data of a finished run beyond its results; `folder` is the run directory."""

    folder: Path

    def evaluation_result(self, row: Row) -> EvaluationResult:
        """Return the result of a row, with the scores of each victim but without intervals."""
        attacker, attack = self._attacker(row), row.result.attack
        several = [self._evaluated(attacker, query, attack) for query in attacker.queries]
        if len(several) == 1:
            return several[0]
        return mean_evaluation_result(
            several, seed=0, metrics=self._metrics, resamples=_NO_INTERVALS
        )

    def trace(self, row: Row) -> StoredTrace:
        """Return the signal that a row's attack traced, of its adversary's first query."""
        attacker = self._attacker(row)
        return self._traced(row, attacker.closest(attacker.queries[0]))

    def course(self, row: Row) -> StudyCourse:
        """Return the signal at both ends of the victims' training, of the first query."""
        attacker = self._attacker(row)
        query = attacker.queries[0]
        returned = self._traced(row, attacker.closest(query))
        sent = self._sent(row, attacker, returned)
        kept = {
            key.kind: self._traced(row, key)
            for key in attacker.answering_while_acting(query)
            if self._path(row, key).is_file()  # a run may end before it acts
        }
        if SnapshotKind.CLEAN in kept:
            returned = _with_rounds_of(kept[SnapshotKind.CLEAN], returned)
        return StudyCourse(
            returned, _only(returned.rounds, sent), _acting(attacker, returned, kept.values())
        )

    def _sent(self, row: Row, attacker: Attacker, returned: StoredTrace) -> StoredTrace:
        """Return the signal before training, for all rounds in which it is known.

        A server keeps what it sends. What a participant sees is sent to all in the next round.
        """
        query = attacker.queries[0]
        sent = [key for key in attacker.answering(query) if key.kind is SnapshotKind.SENT]
        if sent:
            return self._traced(row, sent[0])
        if attacker.closest(query).kind is SnapshotKind.AGGREGATE:
            return replace(returned, rounds=returned.rounds + 1)
        return _only(np.array([], dtype=np.int64), returned)

    def _traced(self, row: Row, key: SnapshotKey) -> StoredTrace:
        path, audit = self._path(row, key), self._ledger.audit(self._attacker(row).queries[0])
        rounds, values = read_trace(path)
        if values.shape != (len(rounds), len(audit.records)):
            raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
        return StoredTrace(rounds, values, audit.member, self._ledger.labels[audit.records])

    def _path(self, row: Row, key: SnapshotKey) -> Path:
        attacker = self._attacker(row)
        return self._run.traces(
            attacker.label, attacker.queries[0].key, key.name, row.result.attack
        )

    def _evaluated(
        self, attacker: Attacker, query: MembershipQuery, attack: str
    ) -> EvaluationResult:
        scores = read_scores(self._run.scores(attacker.label, query.key, attack))
        return evaluate_scores(
            self._ledger.audit(query), scores, 0, self._metrics, resamples=_NO_INTERVALS
        )

    def _attacker(self, row: Row) -> Attacker:
        return next(
            attacker for attacker in self._attackers if attacker.label == row.result.adversary
        )

    @cached_property
    def _run(self) -> RunDirectory:
        return RunDirectory.existing(self.folder)

    @cached_property
    def _experiment(self) -> Experiment:
        return read_experiment(self._run.experiment, plugins_needed=False)

    @cached_property
    def _attackers(self) -> tuple[Attacker, ...]:
        return attackers_with_audits(recorded_attackers(self._experiment, self._run), self._ledger)

    @cached_property
    def _metrics(self) -> tuple[Metric, ...]:
        return found_metrics(self._experiment.metrics).metrics

    @cached_property
    def _ledger(self) -> Ledger:
        return read_ledger(self._run.ledger)


def _only(rounds: np.ndarray, trace: StoredTrace) -> StoredTrace:
    """Return the rows of a trace whose rounds are among these."""
    among = np.isin(trace.rounds, rounds)
    return replace(trace, rounds=trace.rounds[among], values=trace.values[among])


def _with_rounds_of(clean: StoredTrace, trace: StoredTrace) -> StoredTrace:
    """Return a trace with rows replaced by another trace's, where that has the round."""
    rows = dict(zip(clean.rounds.tolist(), clean.values, strict=True))
    own = zip(trace.rounds.tolist(), trace.values, strict=True)
    return replace(trace, values=np.stack([rows.get(number, row) for number, row in own]))


def _acting(attacker: Attacker, observed: StoredTrace, kept: Iterable[StoredTrace]) -> np.ndarray:
    """Return the observed rounds in which an attacker acts.

    These are the rounds of snapshots kept only while acting, else all rounds from its first.
    """
    message = [trace.rounds for trace in kept]
    if message:
        return np.unique(np.concatenate(message))
    first = attacker.acts_from()
    return observed.rounds[:0] if first is None else observed.rounds[observed.rounds >= first]


Finder = Callable[[Row], Evidence]
"""Finds the evidence of a row."""
