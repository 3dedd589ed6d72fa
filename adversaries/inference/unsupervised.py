"""The unsupervised attack: records are clustered into two groups without known members.

Nasr, Shokri and Houmansadr (IEEE S&P 2019); what is trained and clustered is in `autoencoder`.
"""

from dataclasses import replace

from adversaries.inference.autoencoder import (
    UnsupervisedSettings,
    known_signals,
    score_unlabelled,
)
from adversaries.inference.candidate_scores import ScoreArray, row_index
from adversaries.inference.feature_cache import (
    inputs_spec,
    observed_features,
    observed_inputs,
    own_features,
)
from adversaries.inference.input_selection import InputChoice, input_settings
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import needed_features
from fedsim.attacks import (
    Attack,
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
)
from fedsim.observation.needs import Needs
from fedsim.progress import SILENCE, Watcher

_SIGNALS = needed_features(Needs(outputs=True, scalars=True, gradient_norms="all"))


class Unsupervised(Attack):
    """Cluster the records by an autoencoder, without known members (Nasr et al. 2019).

    The membership of the known records is not used at all; they are scored like any candidate.

    Parameters
    ----------
    training
        Sizes of the autoencoder, how it is trained, and how its embeddings are clustered.
    inputs
        Inputs of the encoder, as in `Supervised`. The four signals that the decoder reconstructs
        need the model's gradients in any case.
    last_layer
        Name of the layer that returns the logits; by default it is detected.
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
        """Return the memory need of its networks."""
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
        places = row_index(view, candidates)
        epochs = self.training.epochs
        with watcher.task("autoencoder", epochs) as advance:
            return score_unlabelled(
                inputs.take(places),
                signals[:, places],
                self.training,
                seed,
                lambda done: advance(f"epoch {done} of {epochs}"),
            )
