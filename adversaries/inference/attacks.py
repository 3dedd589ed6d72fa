"""The inference attacks as plugins: what an adversary saw, in; one score a record, out."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from adversaries.inference.crossfit import folds, scalar_logistic
from adversaries.inference.feature_cache import (
    inputs_spec,
    observed_features,
    observed_inputs,
    own_features,
    positions,
    scalar_inputs,
    scalars_spec,
)
from adversaries.inference.input_selection import InputChoice, input_settings
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from adversaries.inference.plans import NetworkChoice, TrainingChanges, plan
from adversaries.inference.supervised import fit_and_score
from adversaries.inference.unsupervised import UnsupervisedSettings, known_signals, score_unlabelled
from fedsim import seeds
from fedsim.attacks import (
    Attack,
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
)
from fedsim.errors import DataError
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import SILENCE, Watcher

ScoreArray = NDArray[np.float64]

_KNOWN = frozenset({Knowledge.KNOWN_RECORDS})


class Supervised(Attack):
    """A white-box network over all snapshots, trained on the known records (Nasr et al. 2019).

    Parameters
    ----------
    inputs
        What the attack reads: ``white-box-gradients`` (default: the last layer's gradient and
        output, loss, label, every layer's gradient norm), ``white-box-outputs`` (the last three
        layers' outputs, loss, label), ``black-box`` (the last layer's output, loss, label), or a
        choice of layers: ``{outputs: [-1, -2], gradients: [conv5]}``; see `chosen.InputSettings`.
    network
        ``default``; ``paper``, the network of the paper with its training, which takes gigabytes
        and days; ``paper-shared``, the same with one set of component weights for all snapshots;
        or the default with other sizes: ``{shared: true, kernels: 8}``, see
        `network.NetworkSettings`.
    training
        What is trained otherwise than suits the network: ``{epochs: 20, folds: 3}``, see
        `plans.TrainingChanges`.
    last_layer
        Name of the layer that gives the logits; found where it is not named.
    learns_from
        How many of the known members, and of the known non-members, it learns from:
        ``[250, 250]``. They are drawn with each attack seed, fewer out of more; the others are
        scored like unknown ones. By default it learns from all.
    """

    stochastic = True

    def __init__(
        self,
        inputs: InputChoice = "white-box-gradients",
        network: NetworkChoice = "default",
        training: TrainingChanges | None = None,
        last_layer: str | None = None,
        learns_from: tuple[int, int] | None = None,
    ) -> None:
        self.inputs = input_settings(inputs)
        self.training = plan(network, training)
        self.last_layer = last_layer
        self.learns_from = learns_from
        self.needs = replace(self.inputs.needs, knowledge=_KNOWN)

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return what its networks take."""
        return self.training.networks.need(prospect, self.inputs, self.last_layer)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read the inputs and cut the known records into folds; train nothing."""
        if self.learns_from is not None:
            known = _drawn(known, *self.learns_from, 0)
        observed_inputs(view, SILENCE, self.inputs, self.last_layer)
        folds(known.member, self.training.folds, 0)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the network reads."""
        observed_features(view, watcher, inputs_spec(view, self.inputs, self.last_layer))

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> ScoreArray:
        """Return membership logits; a known record's come from networks that have not seen it."""
        if self.learns_from is not None:
            known = _drawn(known, *self.learns_from, seed)
        inputs = observed_inputs(view, watcher, self.inputs, self.last_layer)
        training = self.training
        networks = training.folds * training.repeats
        with watcher.task("attack networks", training.steps) as advance:
            held_out, others = fit_and_score(
                inputs.take(_places(view, known.records)),
                known.member,
                inputs.take(_places(view, _unknown(known, candidates))),
                training,
                seed,
                lambda done: advance(f"{done // training.epochs} of {networks}"),
            )
        return _joined(known, held_out, candidates, others)


class ScalarLogistic(Attack):
    """Logistic regression on the scalars of every snapshot: the simple attack to beat.

    They are those of the objective, and, of a linear last layer, the norm of its input and the log
    norm of its gradient: six for a classifier.

    Parameters
    ----------
    folds
        Parts that the known records are cut into.
    """

    stochastic = True
    baseline = True
    by_rounds = True
    needs = Needs(scalars=True, last_layer_norms=True, knowledge=_KNOWN)

    def __init__(self, folds: Annotated[int, Field(ge=2)] = 5) -> None:
        self.folds = folds

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes no memory to speak of."""
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
            rows[positions(view, _unknown(known, candidates))],
            self.folds,
            seed,
        )
        return _joined(known, held_out, candidates, others)


def _drawn(known: AuxiliaryRecords, members: int, nonmembers: int, seed: int) -> AuxiliaryRecords:
    """Return a number of the known members and non-members.

    Raises
    ------
    DataError
        If there are fewer, or none are requested.
    """
    places = []
    for wanted, kind, those in (
        (members, "members", known.member),
        (nonmembers, "non-members", ~known.member),
    ):
        there = np.flatnonzero(those)
        if not 0 < wanted <= len(there):
            raise DataError(
                f"the supervised attack cannot learn from {wanted} known {kind}: {len(there)} are "
                f"known (learns_from; see audit.known_{kind.replace('-', '')})"
            )
        order = seeds.generator(seed, "learns-from", kind).permutation(there)
        places.append(order[:wanted])
    chosen = np.sort(np.concatenate(places))
    return AuxiliaryRecords(known.records[chosen], known.member[chosen])


def _places(view: View, records: RecordIds) -> torch.Tensor:
    return torch.from_numpy(positions(view, records))


def _unknown(known: AuxiliaryRecords, candidates: RecordIds) -> RecordIds:
    return candidates[~np.isin(candidates, known.records)]


def _joined(
    known: AuxiliaryRecords, held_out: ScoreArray, candidates: RecordIds, others: ScoreArray
) -> ScoreArray:
    """Return the candidates' scores in their own order."""
    records = np.concatenate([known.records, _unknown(known, candidates)])
    scores = np.concatenate([held_out, others])
    order = np.argsort(records)
    joined: ScoreArray = scores[order][np.searchsorted(records, candidates, sorter=order)]
    return joined


_SIGNAL_NEEDS = Needs(outputs=True, scalars=True, gradient_norms="all")
_SIGNALS = needed_features(_SIGNAL_NEEDS)


class Unsupervised(Attack):
    """The white-box network with nothing to learn from: records are clustered (Nasr et al. 2019).

    The membership of the known records is not used at all; they are scored like any candidate.

    Parameters
    ----------
    training
        Sizes of the autoencoder, how it is trained, and how its embeddings are clustered.
    inputs
        What the encoder reads: as in `Supervised`. The four signals that the decoder rebuilds need
        the model's gradients whatever is chosen here.
    last_layer
        Name of the layer that gives the logits; found where it is not named.
    """

    stochastic = True

    def __init__(
        self,
        training: UnsupervisedSettings | None = None,
        inputs: InputChoice = "white-box-gradients",
        last_layer: str | None = None,
    ) -> None:
        self.training = training or UnsupervisedSettings()
        self.inputs = input_settings(inputs)
        self.last_layer = last_layer
        self.needs = replace(self.inputs.needs, outputs=True, scalars=True, gradient_norms="all")

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return what its networks take."""
        tried_features(prospect, _SIGNALS)
        return self.training.networks.need(prospect, self.inputs, self.last_layer)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read the inputs and the signals; train nothing."""
        observed_inputs(view, SILENCE, self.inputs, self.last_layer)
        own_features(view, SILENCE, _SIGNALS)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the encoder reads, and the signals."""
        observed_features(view, watcher, inputs_spec(view, self.inputs, self.last_layer))
        own_features(view, watcher, _SIGNALS)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> ScoreArray:
        """Return places between the clusters' centres; those above 0 are called members."""
        inputs = observed_inputs(view, watcher, self.inputs, self.last_layer)
        signals = known_signals(own_features(view, watcher, _SIGNALS))
        places = _places(view, candidates)
        epochs = self.training.epochs
        with watcher.task("autoencoder", epochs) as advance:
            return score_unlabelled(
                inputs.take(places),
                signals[:, places],
                self.training,
                seed,
                lambda done: advance(f"epoch {done} of {epochs}"),
            )
