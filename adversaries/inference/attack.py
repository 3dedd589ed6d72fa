"""The inference attacks as plugins: what an adversary saw, in; one score a record, out."""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.crossfit import scalar_logistic
from adversaries.inference.features import FeatureSpec, SnapshotFeatures
from adversaries.inference.observed import observed_features, positions
from adversaries.inference.supervised import SupervisedSettings, fit_and_score
from adversaries.inference.unsupervised import UnsupervisedSettings, score_unlabelled
from fedsim.attack import Attack, Known, Observation, RecordIds
from fedsim.progress import Watcher

Scores = NDArray[np.float64]


class Supervised(Attack):
    """A white-box network over all snapshots, trained on the known records (Nasr et al. 2019).

    Parameters
    ----------
    training
        Sizes of the network and how it is trained.
    outputs
        Names of hidden layers whose outputs are attacked beside the last layer's.
    last_layer
        Name of the layer that gives the logits; found where it is not named.
    """

    stochastic = True

    def __init__(
        self,
        training: SupervisedSettings | None = None,
        outputs: tuple[str, ...] = (),
        last_layer: str | None = None,
    ) -> None:
        self.training = training or SupervisedSettings()
        self.spec = FeatureSpec(last_layer=last_layer, outputs=outputs)

    def score(
        self,
        observation: Observation,
        known: Known,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Scores:
        """Return membership logits; a known record's come from networks that have not seen it."""
        features = observed_features(observation, watcher, self.spec)
        fits = self.training.folds * self.training.repeats
        with watcher.task("attack networks", fits) as advance:
            held_out, others = fit_and_score(
                _taken(features, observation, known.records),
                known.member,
                _taken(features, observation, _unknown(known, candidates)),
                self.training,
                seed,
                lambda done: advance(f"{done} of {fits}"),
            )
        return _joined(known, held_out, candidates, others)


class ScalarLogistic(Attack):
    """Logistic regression on six scalars of every snapshot: the simple attack to beat."""

    stochastic = True
    baseline = True

    def __init__(self, folds: int = 5) -> None:
        self.folds = folds

    def score(
        self,
        observation: Observation,
        known: Known,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Scores:
        """Return log-odds of membership; a known record's come from folds without it."""
        features = observed_features(observation, watcher)
        held_out, others = scalar_logistic(
            _taken(features, observation, known.records),
            known.member,
            _taken(features, observation, _unknown(known, candidates)),
            self.folds,
            seed,
        )
        return _joined(known, held_out, candidates, others)


def _taken(
    features: list[SnapshotFeatures], observation: Observation, records: RecordIds
) -> list[SnapshotFeatures]:
    places = positions(observation, records)
    return [of_snapshot.take(places) for of_snapshot in features]


def _unknown(known: Known, candidates: RecordIds) -> RecordIds:
    return candidates[~np.isin(candidates, known.records)]


def _joined(known: Known, held_out: Scores, candidates: RecordIds, others: Scores) -> Scores:
    """Return the candidates' scores in their own order."""
    records = np.concatenate([known.records, _unknown(known, candidates)])
    scores = np.concatenate([held_out, others])
    order = np.argsort(records)
    joined: Scores = scores[order][np.searchsorted(records, candidates, sorter=order)]
    return joined


class Unsupervised(Attack):
    """The white-box network with nothing to learn from: records are clustered (Nasr et al. 2019).

    The membership of the known records is not used at all; they are scored like any candidate.

    Parameters
    ----------
    training
        Sizes of the autoencoder, how it is trained, and how its embeddings are clustered.
    outputs
        Names of hidden layers whose outputs are attacked beside the last layer's.
    last_layer
        Name of the layer that gives the logits; found where it is not named.
    """

    stochastic = True

    def __init__(
        self,
        training: UnsupervisedSettings | None = None,
        outputs: tuple[str, ...] = (),
        last_layer: str | None = None,
    ) -> None:
        self.training = training or UnsupervisedSettings()
        self.spec = FeatureSpec(last_layer=last_layer, outputs=outputs)

    def score(
        self,
        observation: Observation,
        known: Known,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Scores:
        """Return places between the clusters' centres; those above 0 are called members."""
        features = observed_features(observation, watcher, self.spec)
        epochs = self.training.epochs
        with watcher.task("autoencoder", epochs) as advance:
            return score_unlabelled(
                _taken(features, observation, candidates),
                self.training,
                seed,
                lambda done: advance(f"epoch {done} of {epochs}"),
            )
