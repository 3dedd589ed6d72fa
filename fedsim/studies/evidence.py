"""The scores behind a study's rows: what differences and figures are made of, read when needed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fedsim.config import load_experiment
from fedsim.data import Ledger, Question, read_ledger
from fedsim.evaluation import Verdict, mean_verdict
from fedsim.rundir import RunDirectory
from fedsim.stages.judging import judge_scores
from fedsim.stages.scene import Party, parties_of
from fedsim.stages.scores import read_scores, read_trace
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
        question = party.questions[0]
        audit = self._ledger.audit(question)
        owner = party.answering(question)[-1]
        path = self._run.traces(party.label, question.key, owner, row.result.attack)
        rounds, values = read_trace(path)
        return Trace(rounds, values, audit.member, self._ledger.labels[audit.records])

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


Finder = Callable[[Row], Evidence]
"""Finds the evidence of a row."""
