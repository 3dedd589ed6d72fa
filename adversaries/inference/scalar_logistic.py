"""Logistic regression on the scalars of every snapshot: the baseline of trained attacks."""

from typing import Annotated

from pydantic import Field

from adversaries.inference.candidate_scores import ScoreArray, joined_scores, unknown_records
from adversaries.inference.crossfit import scalar_logistic
from adversaries.inference.feature_cache import (
    observed_features,
    positions,
    scalar_inputs,
    scalars_spec,
)
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import Watcher


class ScalarLogistic(Attack):
    """Logistic regression on the scalars of every snapshot: the baseline of trained attacks.

    They are those of the objective, and, of a linear last layer, the norm of its input and the log
    norm of its gradient: six for a classifier.

    Parameters
    ----------
    folds
        Number of folds of the known records.
    """

    stochastic = True
    baseline = True
    by_rounds = True
    needs = Needs(
        scalars=True, last_layer_norms=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS})
    )

    def __init__(self, folds: Annotated[int, Field(ge=2)] = 5) -> None:
        self.folds = folds

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes little memory."""
        tried_features(prospect, needed_features(self.needs))

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the scalars."""
        observed_features(view, watcher, scalars_spec(view))

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> ScoreArray:
        """Return log-odds of membership; a known record's come from folds without it."""
        rows = scalar_inputs(view, watcher).summary.numpy()
        held_out, others = scalar_logistic(
            rows[positions(view, known.records)],
            known.member,
            rows[positions(view, unknown_records(known, candidates))],
            self.folds,
            seed,
        )
        return joined_scores(known, held_out, candidates, others)
