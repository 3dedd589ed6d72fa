"""The shadow attack: train on shadow federations, whose members are all known.

Shokri, Stronati, Song and Shmatikov (IEEE S&P 2017); the comparison of Nasr, Shokri and Houmansadr
(IEEE S&P 2019), table VII. The membership of the known records is not used: they are scored like
any other, so the threshold may be chosen on them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from adversaries.inference.candidate_scores import row_index
from adversaries.inference.crossfit import folds
from adversaries.inference.feature_cache import (
    inputs_spec,
    observed_features,
    observed_inputs,
)
from adversaries.inference.input_selection import InputChoice
from adversaries.inference.inputs import Inputs
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.plans import NetworkChoice, TrainingChanges, network_inputs, plan
from adversaries.inference.reference_models import MOST_FEDERATIONS
from adversaries.inference.seed_sharing import SeedSharingAttack
from fedsim.attacks import (
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
)
from fedsim.errors import FedsimError, shown
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Knowledge
from fedsim.progress import SILENCE, Watcher


class Shadow(SeedSharingAttack):
    """The white-box network, trained on shadow federations (Shokri et al. 2017).

    Parameters
    ----------
    federations
        Number of shadow federations; each costs as much as the real one.
    inputs, network, training, last_layer, vectors
        As in `Supervised`.
    """

    stochastic = True

    def __init__(
        self,
        federations: int = 1,
        inputs: InputChoice = "white-box-gradients",
        network: NetworkChoice = "default",
        training: TrainingChanges | None = None,
        last_layer: str | None = None,
        vectors: bool | None = None,
    ) -> None:
        if not 1 <= federations <= MOST_FEDERATIONS:
            raise ValueError(
                f"federations must be from 1 to {MOST_FEDERATIONS:,}, not {shown(federations)}"
            )
        self.inputs = network_inputs(inputs, network, vectors)
        self.training = plan(network, training)
        self.last_layer = last_layer
        self.needs = replace(
            self.inputs.needs,
            shadow_federations=federations,
            knowledge=frozenset({Knowledge.SHADOW_DATA}),
        )

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return the memory need of its networks."""
        return self.training.networks.need(prospect, self.inputs, self.last_layer)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read the inputs and cut a shadow federation's records into folds; train nothing."""
        observed_inputs(view, SILENCE, self.inputs, self.last_layer)
        folds(view.shadows[0].member, self.training.folds, 0)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the network reads: of what there is in passive shadow federations, too."""
        only_active = (SnapshotKind.CLEAN, SnapshotKind.INTENDED)
        passive = view.keeping([s for s in view.seen if s.kind not in only_active])
        for seen in (view, passive):
            spec = inputs_spec(seen, self.inputs, self.last_layer)
            observed_features(seen, watcher, spec)

    def score_seeds(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[NDArray[np.float64]]:
        """Return the scores of several seeds, whose networks are trained together."""
        federations = view.shadows[: self.needs.shadow_federations]
        if len(federations) < self.needs.shadow_federations:
            raise FedsimError(
                "the shadow attack trains models as the real ones were trained, which is not known "
                "of a model that was trained elsewhere; choose another attack"
            )
        seen = views_in_common([view, *(one.view for one in federations)])
        target, *shadows = (
            observed_inputs(one, watcher, self.inputs, self.last_layer) for one in seen
        )
        training = self.training
        steps = training.steps * len(attack_seeds)
        with watcher.task("shadow attack networks", steps) as advance:
            _, scores = fit_and_score(
                joined(shadows),
                np.concatenate([one.member for one in federations]),
                target.take(row_index(view, candidates)),
                training,
                attack_seeds,
                lambda done: advance(f"epoch {done}"),
            )
        return list(scores)


def joined(several: Sequence[Inputs]) -> Inputs:
    """Return the records of several inputs as one, in their order."""
    parts = zip(*(one.parts for one in several), strict=True)
    return several[0].replaced(torch.cat(part, 1) for part in parts)


def views_in_common(views: Sequence[View]) -> list[View]:
    """Return views with only what each of them has.

    Where a strategy samples, the victim and its stand-ins take part in different rounds. Shadow
    federations are passive: no snapshot in them is made from a malicious message.
    """
    common = set.intersection(*({(s.round, s.key) for s in one.seen} for one in views))
    if not common:
        raise FedsimError(
            "an attack that learns from shadow federations has no observed round in which both the "
            "victim and its stand-in took part; observe more rounds"
        )
    return [one.keeping([s for s in one.seen if (s.round, s.key) in common]) for one in views]
