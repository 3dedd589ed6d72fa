"""One attack, tried on a victim that has memorised its labels.

Its labels are random, so a model that fits them has memorised them: a leak that every attack should
find. The same query is also asked about untrained models, where there is nothing to find.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedsim import plugins, seeds
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.conformance import toy
from fedsim.conformance.checklist import Failed
from fedsim.data import AuditSet
from fedsim.engines.threads import limited_threads
from fedsim.evaluation.metrics import auc
from fedsim.models import build_model
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.shared_scores import SharedScores
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import HiddenAudit, view_of
from fedsim.stages.shadow_federations import shadows_of
from fedsim.stages.simulate import simulate

ScoreArray = NDArray[np.float64]
SEED = 11
ONLOOKER = {"name": toy.ONLOOKER, "label": "onlooker"}
ONLOOKER_WANTS = [SnapshotKind.SENT.of(0).name, SnapshotKind.UPLOAD.of(0).name]


@dataclass(frozen=True)
class AttackTrial:
    """An attack by name and settings, and a folder for its trial."""

    name: str
    settings: Mapping[str, Any]
    folder: Path

    @cached_property
    def setup(self) -> Setup:
        """The tiny federation, and the attack."""
        chosen = {**self.settings, "name": self.name}
        attack = plugins.build("attacks", self.name, self.settings)
        others = [SnapshotKind.UPLOAD.of(1).name] if attack.needs.others else []
        onlooker = {**ONLOOKER, "wanted": ONLOOKER_WANTS + others}
        return build_setup(toy.memorised(chosen, onlooker), None, SILENCE)

    @cached_property
    def attack(self) -> Attack:
        """The attack itself."""
        return self.setup.attacks[toy.LABEL]

    @cached_property
    def run(self) -> RunDirectory:
        """The run directory of the federation, simulated."""
        run = RunDirectory.create(self.folder / "run", self.setup.experiment.resolved())
        simulate(self.setup, run, SILENCE)
        return run

    @cached_property
    def audit(self) -> AuditSet:
        """The audited records, and the truth about them."""
        (attacker,) = self.setup.attackers
        return self.setup.ledger.audit(attacker.queries[0])

    @cached_property
    def view(self) -> View:
        """What a server saw of the victim."""
        (attacker,) = self.setup.attackers
        (query,) = attacker.queries
        store = attacker.store(self.setup.experiment, self.run)
        shadows = shadows_of(self.setup, self.run, SILENCE)
        return view_of(
            self.setup,
            self.run,
            attacker,
            query,
            store.series(*attacker.answering(query)),
            shadows.get((attacker.label, query.key), ()),
            HiddenAudit(self.setup.dataset, self.audit, np.arange(len(self.audit))),
        )

    @cached_property
    def ignorant(self) -> View:
        """The same view with untrained models: there is nothing to find."""
        store = SnapshotStore(self.folder / "untrained")
        for snapshot in self.view.seen:
            store.keep(snapshot.round, snapshot.key, self._untrained(snapshot))
        return replace(
            self.view,
            seen=store.index(),
            features=self.folder / "features-of-untrained",
        )

    def _untrained(self, snapshot: Snapshot) -> ArrayRecord:
        model, data = self.setup.experiment.model, self.setup.dataset
        fresh = build_model(
            model.name,
            model.settings,
            input_shape=data.input_shape,
            num_classes=data.num_classes,
            seed=seeds.derive(SEED, snapshot.key.name, snapshot.round),
        )
        return ArrayRecord(fresh.state_dict())

    @property
    def known(self) -> AuxiliaryRecords:
        """What the attacker knows."""
        return AuxiliaryRecords(
            self.audit.records[self.audit.known], self.audit.member[self.audit.known]
        )

    @cached_property
    def scores(self) -> ScoreArray:
        """The scores of all audited records (n,), in their order."""
        return self.scored()

    def scored(
        self,
        view: View | None = None,
        known: AuxiliaryRecords | None = None,
        candidates: RecordIds | None = None,
        seed: int = SEED,
    ) -> ScoreArray:
        """Return the attack's scores, one of its arguments changed.

        Raises
        ------
        Failed
            If they are not one finite number per candidate.
        """
        # Nothing is taken from an earlier call: not the scores of an attack that it is made of.
        view = replace(view or self.view, shared=SharedScores())
        candidates = self.audit.records if candidates is None else candidates
        with limited_threads(1):
            returned = self.attack.score(
                view, known or self.known, candidates.copy(), seed, SILENCE
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

    def area(
        self, scores: ScoreArray, member: NDArray[np.bool_], among: NDArray[np.bool_]
    ) -> float:
        """Return the AUC of scores against a truth, among some of the audited records."""
        return auc(scores[among & member], scores[among & ~member])
