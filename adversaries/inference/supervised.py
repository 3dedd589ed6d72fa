"""The supervised attack: learn from known members and non-members, score all candidates.

Nasr, Shokri and Houmansadr (IEEE S&P 2019). The network is in `network` (`paper_network`), its
training in `network_training`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from adversaries.inference.candidate_scores import (
    ScoreArray,
    joined_scores,
    row_index,
    unknown_records,
)
from adversaries.inference.crossfit import folds
from adversaries.inference.feature_cache import inputs_spec, observed_features, observed_inputs
from adversaries.inference.input_selection import InputChoice
from adversaries.inference.inputs import Inputs
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.plans import NetworkChoice, TrainingChanges, network_inputs, plan
from adversaries.inference.reference_models import keep_references
from adversaries.inference.relative import keep_relative, relative_features
from adversaries.inference.seed_sharing import SeedSharingAttack
from fedsim import seeds
from fedsim.attacks import (
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
)
from fedsim.errors import ConfigError, DataError
from fedsim.observation.needs import Knowledge
from fedsim.progress import SILENCE, Watcher


class Supervised(SeedSharingAttack):
    """A white-box network over all snapshots, trained on the known records (Nasr et al. 2019).

    Parameters
    ----------
    inputs
        What the attack reads: ``white-box-gradients`` (default: the last layer's gradient and
        output, loss, label, every layer's gradient norm), ``white-box-outputs`` (the last three
        layers' outputs, loss, label), ``black-box`` (the last layer's output, loss, label), or a
        choice of layers: ``{outputs: [-1, -2], gradients: [conv5]}``; see
        `input_selection.InputSettings`.
    network
        ``default``; ``paper``, the network of the paper with its training, which takes gigabytes
        and days; ``paper-shared``, the same with one set of component weights for all snapshots;
        or the default with other sizes: ``{shared: true, kernels: 8}``, see
        `network.NetworkSettings`.
    training
        Changes to the network's default training: ``{epochs: 20, folds: 3}``, see
        `plans.TrainingChanges`.
    last_layer
        Name of the layer that gives the logits; found where it is not named.
    vectors
        Whether the network reads, beside the scalars that sum them up, the loss and the last
        layer's output and gradient as they are, too. They take most of the time and add about .001
        of AUC. By default they are read where `network` is another than ``default``. What no scalar
        sums up, as the output of an inner layer, is read in any case, and so is the label.
    learns_from
        Numbers of known members and known non-members to train on: ``[250, 250]``. They are drawn
        with each attack seed, smaller sets out of larger ones; the others are scored like unknown
        records. By default all.
    relative
        Whether it also reads what the victim's uploads say of a record against what the other
        participants' say, for positions that see all uploads; see `relative`.
    """

    stochastic = True

    def __init__(
        self,
        inputs: InputChoice = "white-box-gradients",
        network: NetworkChoice = "default",
        training: TrainingChanges | None = None,
        last_layer: str | None = None,
        vectors: bool | None = None,
        learns_from: tuple[int, int] | None = None,
        relative: bool = False,
    ) -> None:
        if relative and isinstance(network, str) and network.startswith("paper"):
            raise ConfigError(
                f"network: {network} reads nothing but vectors, so relative: true gives it nothing"
            )
        self.inputs = network_inputs(inputs, network, vectors)
        self.training = plan(network, training)
        self.last_layer = last_layer
        self.learns_from = learns_from
        self.relative = relative
        self.needs = replace(
            self.inputs.needs,
            others=relative,
            update_alignment=relative,
            knowledge=frozenset({Knowledge.KNOWN_RECORDS}),
        )

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return the memory need of its networks."""
        return self.training.networks.need(prospect, self.inputs, self.last_layer)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read the inputs and cut the known records into folds; train nothing."""
        if self.learns_from is not None:
            known = drawn_records(known, *self.learns_from, 0)
        self._inputs(view, SILENCE)
        folds(known.member, self.training.folds, 0)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the network reads."""
        observed_features(view, watcher, inputs_spec(view, self.inputs, self.last_layer))
        if self.relative:
            keep_references(view, watcher, self.needs)
            keep_relative(view, watcher)

    def score_seeds(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[ScoreArray]:
        """Return the scores of several seeds, whose networks are trained together."""
        inputs = self._inputs(view, watcher)
        together = [list(attack_seeds)]
        if self.learns_from is not None:  # each seed has other records to learn from
            together = [[seed] for seed in attack_seeds]
        scores: list[ScoreArray] = []
        steps = self.training.steps
        with watcher.task("attack networks", steps * len(attack_seeds)) as advance:
            for some in together:
                own = known
                if self.learns_from is not None:
                    own = drawn_records(known, *self.learns_from, *some)
                held_out, others = fit_and_score(
                    inputs.take(row_index(view, own.records)),
                    own.member,
                    inputs.take(row_index(view, unknown_records(own, candidates))),
                    self.training,
                    some,
                    lambda done: advance(f"epoch {done}"),
                )
                scores += [
                    joined_scores(own, of_known, candidates, of_others)
                    for of_known, of_others in zip(held_out, others, strict=True)
                ]
        return scores

    def _inputs(self, view: View, watcher: Watcher) -> Inputs:
        inputs = observed_inputs(view, watcher, self.inputs, self.last_layer)
        if not self.relative:
            return inputs
        name = "the supervised attack with relative features"
        relative = torch.from_numpy(relative_features(view, watcher, name)).to(inputs.device)
        summarised = inputs.summarised
        return replace(summarised, scalars=torch.cat([summarised.scalars, relative[None]], dim=-1))


def drawn_records(
    known: AuxiliaryRecords, members: int, nonmembers: int, seed: int
) -> AuxiliaryRecords:
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
