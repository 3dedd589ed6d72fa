"""Confidence series: a small network over the fit of each round, level by level.

Zari, Xu and Neglia, *Efficient Passive Membership Inference Attack in Federated Learning*, NeurIPS
PriML 2021: the sequence of true-class probabilities over the rounds, and a classifier on it that
learns from known records. The original code is lost; a public re-implementation, made after talk
with the author, has three convolutions over the rounds. Here they have an eighth of its channels
(the paper's point is that it is small), and the network reads the log-odds, which have the order of
the probabilities and all their digits.
"""

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from adversaries.inference.feature_cache import own_features
from adversaries.inference.memory import tried_features
from adversaries.inference.reference_models import FIT
from adversaries.inference.sequence_training import Build, Floats, cross_fitted
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import SILENCE, Watcher


class ConfidenceSeries(Attack):
    """Score a record by a small network over its fit in each round (Zari et al. 2021).

    Parameters
    ----------
    epochs
        Of training.
    """

    stochastic = True
    needs = Needs(scalars=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS}))
    title = "confidence series"

    def __init__(self, epochs: Annotated[int, Field(ge=1)] = 60) -> None:
        self.epochs = epochs

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes no memory to speak of."""
        tried_features(prospect, FIT)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read the log-odds; train nothing."""
        own_features(view, SILENCE, FIT)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the log-odds."""
        own_features(view, watcher, FIT)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return membership logits; a known record's come from networks that have not seen it."""
        found = own_features(view, watcher, FIT)
        by_snapshot = dict(zip(view.trained, found, strict=True))
        columns = [by_snapshot[one].scalars[:, :1].astype(np.float64) for one in view.closest]
        return cross_fitted(
            view,
            np.stack(columns, 1),
            known,
            candidates,
            self.network,
            epochs=self.epochs,
            learning_rate=3e-3,
            seed=seed,
            watcher=watcher,
            name=self.title,
        )

    network: Build = staticmethod(lambda rounds, columns: Convolutions(columns))


class Convolutions(nn.Module):
    """Three convolutions over the rounds and their mean: (B, T, S) to logits (B,)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        sizes = ((columns, 16, 7), (16, 32, 5), (32, 16, 3))
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(before, after, kernel, padding=kernel // 2),
                    nn.BatchNorm1d(after),
                    nn.ReLU(),
                )
                for before, after, kernel in sizes
            )
        )
        self.head = nn.Linear(16, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return the logit of membership."""
        logits: Tensor = self.head(self.body(series.transpose(1, 2)).mean(2))[:, 0]
        return logits
