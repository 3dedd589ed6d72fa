"""One attack, and what it is tried on: a victim that has learned its labels by heart.

Labels are drawn at random there, so whoever fits them has memorised them: a leak as plain as it can
be. Beside it stands the same question about models that were never trained, where there is nothing
to find.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.attacks import Attack, Known, Observation, RecordIds
from fedsim.conformance import toy
from fedsim.conformance.checklist import Failed
from fedsim.data import AuditSet
from fedsim.engines.threads import limited_threads
from fedsim.evaluation.metrics import auc
from fedsim.models import build_model
from fedsim.observation.snapshots import Snapshot, SnapshotStore, participant_owner, sent_owner
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.setup import Scene, set_scene
from fedsim.stages.shadow_federations import rehearsals_of
from fedsim.stages.simulate import simulate

Scores = NDArray[np.float64]
SEED = 11
ONLOOKER = {
    "name": toy.ONLOOKER,
    "label": "onlooker",
    "wanted": [sent_owner(0), participant_owner(0)],
}


@dataclass(frozen=True)
class Attempt:
    """An attack by name and settings, and a folder for what it is tried on."""

    name: str
    settings: Mapping[str, Any]
    folder: Path

    @cached_property
    def scene(self) -> Scene:
        """The tiny federation, and the attack."""
        chosen = {**self.settings, "name": self.name}
        return set_scene(toy.memorised(chosen, ONLOOKER), None, SILENCE)

    @cached_property
    def attack(self) -> Attack:
        """The attack itself."""
        return self.scene.attacks[toy.LABEL]

    @cached_property
    def run(self) -> RunDirectory:
        """The run directory of the federation, simulated."""
        run = RunDirectory.create(self.folder / "run", self.scene.experiment.resolved())
        simulate(self.scene, run, SILENCE)
        return run

    @cached_property
    def audit(self) -> AuditSet:
        """The audited records, and the truth about them."""
        (party,) = self.scene.parties
        return self.scene.ledger.audit(party.questions[0])

    @cached_property
    def observation(self) -> Observation:
        """What a server saw of the victim."""
        (party,) = self.scene.parties
        (question,) = party.questions
        store = party.store(self.scene.experiment, self.run)
        rehearsals = rehearsals_of(self.scene, self.run, SILENCE)
        return Observation(
            adversary=party.label,
            question=question,
            snapshots=store.series(*party.answering(question)),
            new_model=self.scene.new_model,
            dataset=self.scene.dataset,
            records=self.audit.records,
            features=self.folder / "features",
            rehearsals=rehearsals.get((party.label, question.key), ()),
        )

    @cached_property
    def ignorant(self) -> Observation:
        """The same, but the models have never seen a record: there is nothing to find."""
        store = SnapshotStore(self.folder / "untrained")
        for snapshot in self.observation.snapshots:
            store.keep(snapshot.round, snapshot.owner, self._untrained(snapshot))
        owners = dict.fromkeys(snapshot.owner for snapshot in self.observation.snapshots)
        return replace(
            self.observation,
            snapshots=store.series(*owners),
            features=self.folder / "features-of-untrained",
        )

    def _untrained(self, snapshot: Snapshot) -> ArrayRecord:
        model, data = self.scene.experiment.model, self.scene.dataset
        fresh = build_model(
            model.name,
            model.settings,
            input_shape=data.input_shape,
            num_classes=data.num_classes,
            seed=seeds.derive(SEED, snapshot.owner, snapshot.round),
        )
        return ArrayRecord(fresh.state_dict())

    @property
    def known(self) -> Known:
        """What the attacker is told."""
        return Known(self.audit.records[self.audit.known], self.audit.member[self.audit.known])

    @cached_property
    def scores(self) -> Scores:
        """The scores of all audited records (n,), in their order."""
        return self.scored()

    def scored(
        self,
        observation: Observation | None = None,
        known: Known | None = None,
        candidates: RecordIds | None = None,
        seed: int = SEED,
    ) -> Scores:
        """Return the attack's scores, one of its arguments changed.

        Raises
        ------
        Failed
            If they are not one finite number a candidate.
        """
        observation = observation or self.observation
        candidates = self.audit.records if candidates is None else candidates
        with limited_threads(1):
            returned = self.attack.score(
                observation, known or self.known, candidates.copy(), seed, SILENCE
            )
        scores = np.asarray(returned)
        if scores.shape != candidates.shape:
            raise Failed(
                f"score() returned shape {scores.shape} for {len(candidates)} candidates; one "
                "number a candidate is needed"
            )
        if scores.dtype.kind not in "fiu" or not np.isfinite(scores).all():
            raise Failed("score() returned values that are not finite numbers")
        return scores.astype(np.float64)

    def area(self, scores: Scores, member: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
        """Return the AUC of scores against a truth, among some of the audited records."""
        return auc(scores[among & member], scores[among & ~member])
