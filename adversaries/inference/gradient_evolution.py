"""Last-layer gradient evolution: how a record's gradient moves and turns from round to round.

Montana-Fernandez and Ortega-Fernandez, arXiv 2512.15143 (2025): a classifier on the gradients of
the last layer over the rounds, trained on shadow federations, for an aggregator or a data owner.
Only its abstract has been read, so what is made of the gradients here is our own. The gradient of
the last layer's weights is the outer product G = delta a^T, so that all of

    log |G_t|,   cos(delta_t, delta_{t-1}),   cos(a_t, a_{t-1})

come from the two factors, and cos(G_t, G_{t-1}) is the product of the last two. A record that the
victim trains on has a gradient that shrinks and turns as training goes on, others' less so.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from adversaries.inference.feature_attack import FeatureAttack
from adversaries.inference.feature_cache import own_features, positions
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.loss_trajectory import Perceptron
from adversaries.inference.needed_features import needed_features
from adversaries.inference.reference_models import MOST_FEDERATIONS
from adversaries.inference.sequence_training import Floats, cross_fitted, fitted_elsewhere
from adversaries.inference.shadow import views_in_common
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Knowledge, Needs
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher

_READ = Needs(scalars=True, last_layer=True)
_LEARNING_RATE = 3e-3


class GradientEvolution(FeatureAttack):
    """Score a record by the course of its last-layer gradient (Montana-Fernandez et al. 2025).

    Parameters
    ----------
    federations
        Number of shadow federations to learn from, each as costly as the real one; with 0, the
        known records are learned from, each scored by a network that has not seen it.
    epochs
        Number of training epochs.
    """

    stochastic = True
    read = needed_features(_READ)

    def __init__(
        self,
        federations: Annotated[int, Field(ge=0, le=MOST_FEDERATIONS)] = 1,
        epochs: Annotated[int, Field(ge=1)] = 60,
    ) -> None:
        self.epochs = epochs
        known = Knowledge.SHADOW_DATA if federations else Knowledge.KNOWN_RECORDS
        self.needs = Needs(
            scalars=True,
            last_layer=True,
            shadow_federations=federations,
            knowledge=frozenset({known}),
        )

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
        """Return membership logits by networks that have seen none of the candidates' truth."""
        shadows = view.shadows[: self.needs.shadow_federations]
        if not shadows:
            return cross_fitted(
                view,
                self.series(view, watcher),
                known,
                candidates,
                network,
                epochs=self.epochs,
                learning_rate=_LEARNING_RATE,
                seed=seed,
                watcher=watcher,
                name="gradient evolution",
            )
        target, *others = views_in_common([view, *(one.view for one in shadows)])
        logits = fitted_elsewhere(
            np.concatenate([self.series(one, watcher) for one in others]),
            np.concatenate([one.member for one in shadows]),
            self.series(target, watcher),
            network,
            epochs=self.epochs,
            learning_rate=_LEARNING_RATE,
            seed=seed,
            name="gradient evolution",
            device=view.dataset.device,
        )
        return logits[positions(view, candidates)]

    def series(self, view: View, watcher: Watcher) -> Floats:
        """Return what is read of all records of a view, (N, T, 3)."""
        found = self.features(view, watcher)
        return evolution([found[one] for one in view.closest])


def network(rounds: int, columns: int) -> nn.Module:
    """Return a perceptron over all rounds."""
    return Perceptron(rounds * columns)


def evolution(rounds: list[SnapshotFeatures]) -> Floats:
    """Return log |G_t|, cos(delta_t, delta_{t-1}) and cos(a_t, a_{t-1}) of N records, (N, T, 3).

    The cosines of the first round, which has none before it, are 1.
    """
    found = np.ones((len(rounds[0]), len(rounds), 3))
    for place, features in enumerate(rounds):
        found[:, place, 0] = features.scalar("log gradient norm")
        if place:
            before = rounds[place - 1]
            found[:, place, 1] = _cosines(features.deltas, before.deltas)
            found[:, place, 2] = _cosines(features.hidden, before.hidden)
    return found


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    """Return the cosine of each row with its like; 0 where one of them is nothing."""
    wide, other = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(other, axis=1)
    products: Floats = (wide * other).sum(1) / np.where(norms > 0, norms, 1.0)
    return products
