"""The scores behind a study's rows: what differences and figures are made of, read when needed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fedsim.config.experiment import load_experiment
from fedsim.data import Ledger, Question, read_ledger
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Verdict, mean_verdict
from fedsim.observation.snapshots import AGGREGATE, CLEAN, sent_owner
from fedsim.rundir import RunDirectory
from fedsim.stages.evaluate import judge_scores
from fedsim.stages.score_files import read_scores, read_trace
from fedsim.stages.setup import Party, parties_of
from fedsim.studies.rows import Row

# The figures have their intervals already; the verdicts here carry scores, not intervals.
_NO_INTERVALS = 1


@dataclass(frozen=True)
class Trace:
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
class Course:
    """A signal at both ends of the victims' local training, round by round.

    Attributes
    ----------
    returned
        In what training made: the victim's upload or, for a participant, the aggregate without its
        own climb.
    sent
        In what the same round's training began with, an active adversary's changes included; only
        rounds that `returned` has, and perhaps none.
    acting
        (K,): the observed rounds in which the adversary acts.
    """

    returned: Trace
    sent: Trace
    acting: np.ndarray

    @property
    def reaction(self) -> Trace:
        """What training makes of the signal: returned over sent, where both were observed."""
        behind = self.returned.values[np.isin(self.returned.rounds, self.sent.rounds)]
        return replace(self.sent, values=behind / self.sent.values)


@dataclass(frozen=True)
class Evidence:
    """What a finished run knows beside its results; `folder` is the run directory."""

    folder: Path

    def verdict(self, row: Row) -> Verdict:
        """Return the verdict of a row, with the scores of each victim but without intervals."""
        party, attack = self._party(row), row.result.attack
        several = [self._judged(party, question, attack) for question in party.questions]
        if len(several) == 1:
            return several[0]
        return mean_verdict(several, seed=0, resamples=_NO_INTERVALS)

    def trace(self, row: Row) -> Trace:
        """Return the signal that a row's attack traced, of its adversary's first question."""
        party = self._party(row)
        return self._traced(row, party.answering(party.questions[0])[-1])

    def course(self, row: Row) -> Course:
        """Return the signal at both ends of the victims' training, of the first question."""
        party = self._party(row)
        question = party.questions[0]
        returned = self._traced(row, party.answering(question)[-1])
        sent = self._sent(row, party, returned)
        kept = {
            owner: self._traced(row, owner)
            for owner in party.answering_while_acting(question)
            if self._path(row, owner).is_file()  # a run may end before it acts
        }
        if CLEAN in kept:
            returned = _with_rounds_of(kept[CLEAN], returned)
        return Course(
            returned, _only(returned.rounds, sent), _acting(party, returned, kept.values())
        )

    def _sent(self, row: Row, party: Party, returned: Trace) -> Trace:
        """Return the signal in what training began with, of whatever rounds it is known.

        A server keeps what it sends. What a participant sees is sent to all in the next round.
        """
        question = party.questions[0]
        *before, last = party.answering(question)
        crafted = [owner for owner in map(sent_owner, question.victims) if owner in before]
        if crafted:
            return self._traced(row, crafted[0])
        if last == AGGREGATE:
            return replace(returned, rounds=returned.rounds + 1)
        return _only(np.array([], dtype=np.int64), returned)

    def _traced(self, row: Row, owner: str) -> Trace:
        path, audit = self._path(row, owner), self._ledger.audit(self._party(row).questions[0])
        rounds, values = read_trace(path)
        if values.shape != (len(rounds), len(audit.records)):
            raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
        return Trace(rounds, values, audit.member, self._ledger.labels[audit.records])

    def _path(self, row: Row, owner: str) -> Path:
        party = self._party(row)
        return self._run.traces(party.label, party.questions[0].key, owner, row.result.attack)

    def _judged(self, party: Party, question: Question, attack: str) -> Verdict:
        scores = read_scores(self._run.scores(party.label, question.key, attack))
        return judge_scores(self._ledger.audit(question), scores, seed=0, resamples=_NO_INTERVALS)

    def _party(self, row: Row) -> Party:
        return next(party for party in self._parties if party.label == row.result.adversary)

    @cached_property
    def _run(self) -> RunDirectory:
        return RunDirectory.existing(self.folder)

    @cached_property
    def _parties(self) -> tuple[Party, ...]:
        return parties_of(load_experiment(self._run.experiment))

    @cached_property
    def _ledger(self) -> Ledger:
        return read_ledger(self._run.ledger)


def _only(rounds: np.ndarray, trace: Trace) -> Trace:
    """Return the rows of a trace whose rounds are among these."""
    among = np.isin(trace.rounds, rounds)
    return replace(trace, rounds=trace.rounds[among], values=trace.values[among])


def _with_rounds_of(clean: Trace, trace: Trace) -> Trace:
    """Return a trace with the rows of another one wherever that has the round."""
    rows = dict(zip(clean.rounds.tolist(), clean.values, strict=True))
    own = zip(trace.rounds.tolist(), trace.values, strict=True)
    return replace(trace, values=np.stack([rows.get(number, row) for number, row in own]))


def _acting(party: Party, observed: Trace, kept: Iterable[Trace]) -> np.ndarray:
    """Return the observed rounds in which a party acts.

    They are those of what it keeps only then, or else all from its first one.
    """
    told = [trace.rounds for trace in kept]
    if told:
        return np.unique(np.concatenate(told))
    first = party.acts_from()
    return observed.rounds[:0] if first is None else observed.rounds[observed.rounds >= first]


Finder = Callable[[Row], Evidence]
"""Finds the evidence of a row."""
