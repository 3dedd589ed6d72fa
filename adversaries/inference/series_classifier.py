"""Attacks by a small network over what each round says of a record: what they share."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from torch import nn

from adversaries.inference.feature_attack import FeatureAttack
from adversaries.inference.feature_cache import own_features
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.sequence_training import Floats, cross_fitted
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Knowledge, Needs
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher


class SeriesClassifier(FeatureAttack):
    """Score a record by a network over its course, which learns from the known records.

    Attributes
    ----------
    title
        What the attack is called while it trains; its draws go by this name, too.
    learning_rate
        Of the first step.
    epochs
        Of training.
    """

    stochastic = True
    needs = Needs(scalars=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS}))
    title: ClassVar[str]
    learning_rate: ClassVar[float]
    epochs: int

    @abstractmethod
    def network(self, rounds: int, columns: int) -> nn.Module:
        """Return a network that makes logits (B,) of series (B, rounds, columns)."""

    @abstractmethod
    def measures(self, features: SnapshotFeatures) -> Floats:
        """Return what the network reads of a snapshot, (N, columns)."""

    def features(self, view: View, watcher: Watcher) -> dict[Snapshot, SnapshotFeatures]:
        """Return the features on the snapshots that training made, without those sent."""
        return dict(zip(view.trained, own_features(view, watcher, self.read), strict=True))

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return membership logits; a known record's come from networks that have not seen it."""
        found = self.features(view, watcher)
        self.require_readable(found[view.closest[-1]])
        return cross_fitted(
            view,
            np.stack([self.measures(found[one]) for one in view.closest], 1),
            known,
            candidates,
            self.network,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=seed,
            watcher=watcher,
            name=self.title,
        )
