"""An ensemble: logistic regression on the scores of all attacks that a position allows.

It combines gradient alignment (cosine and inner product), the loss series (level, slope, change)
and the supervised network, as far as updates and several rounds were seen; with all uploads also
offline LiRA, RMIA, source inference and the features of `relative`. Each gives one score per
record. A logistic regression on the standardised scores learns from the known records with
cross-fitting (the network's scores are out of fold already). Ours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from adversaries.inference.alignment_cache import seen_updates
from adversaries.inference.crossfit import Positions, folds, scalar_logistic
from adversaries.inference.feature_cache import positions
from adversaries.inference.gradient_alignment import GradientAlignment
from adversaries.inference.lira import LiRA
from adversaries.inference.loss_series import LossSeries, before_and_after
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import FIT
from adversaries.inference.reference_models import (
    Floats,
    keep_references,
    reference_needs,
    sees_references,
)
from adversaries.inference.relative import keep_relative, relative_features
from adversaries.inference.rmia import RMIA
from adversaries.inference.seed_sharing import SeedSharingAttack
from adversaries.inference.source_inference import SourceInference
from adversaries.inference.supervised import Supervised
from fedsim.attacks import (
    Attack,
    AuxiliaryRecords,
    ExpectedObservation,
    MemoryNeed,
    RecordIds,
    View,
)
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import Watcher

_FARTHEST = 5.0  # standard deviations; what lies farther out is moved there


class Ensemble(SeedSharingAttack):
    """Score a record by a logistic regression of all attacks' scores, cross-fitted.

    Parameters
    ----------
    others
        Whether the uploads of the other participants are read where a position sees them (default).
        Set it to false where partitions overlap, or to keep the victim's uploads only.
    supervised
        Whether the supervised network is among the attacks, which is most of the time that it
        takes (default).
    folds
        Parts that the known records are cut into.
    """

    stochastic = True
    headline = True

    def __init__(
        self, others: bool = True, supervised: bool = True, folds: Annotated[int, Field(ge=2)] = 5
    ) -> None:
        self.others, self.folds = others, folds
        self.network = Supervised() if supervised else None
        self.needs = replace(
            self.network.needs if self.network else Needs(scalars=True),
            others=others,
            update_alignment=True,
            knowledge=frozenset({Knowledge.KNOWN_RECORDS}),
            optional=frozenset({"others", "update_alignment"}),
        )

    def memory_needed(self, prospect: ExpectedObservation) -> MemoryNeed | None:
        """Return what the network takes, and try the model."""
        tried_features(prospect, FIT)
        return self.network.memory_needed(prospect) if self.network else None

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try each attack on the only round."""
        for attack in (*_own(view), *(_compared() if self._compares(view) else ())):
            attack.dry_run(view, known, candidates)
        if not seen_updates(view):  # an update of length zero: what the model cannot do fails here
            GradientAlignment().dry_run(view, known, candidates)
        if self.network:
            self.network.dry_run(view, known, candidates)
        folds(known.member, self.folds, 0)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what the attacks read."""
        if self.network:
            self.network.extract(view, watcher)
        LossSeries().extract(view, watcher)
        if self.others:
            keep_references(view, watcher, reference_needs(0))
            keep_relative(view, watcher)
        GradientAlignment().extract(view, watcher)

    def score_seeds(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        attack_seeds: Sequence[int],
        watcher: Watcher,
    ) -> Sequence[Floats]:
        """Return the scores of several seeds; the networks of `supervised` are trained once.

        Raises
        ------
        FedsimError
            If one of the attacks cannot run on the observation.
        """
        compared = self._compares(view)
        attacks: list[Attack] = [*_own(view), *(_compared() if compared else ())]
        if self.network:
            attacks.append(self.network)
        # First: one pass gives the alignments with all updates, among them those with the victim's.
        relative = relative_features(view, watcher, "the ensemble") if compared else None
        asked = known, view.records, attack_seeds, watcher
        by_attack = [attack.shared_scores(view, *asked) for attack in attacks]
        found = []
        for seed, columns in zip(attack_seeds, zip(*by_attack, strict=True), strict=True):
            rows = np.stack(columns, 1)
            if relative is not None:
                rows = np.concatenate([rows, relative], axis=1)
            scores = self._regressed(rows, positions(view, known.records), known, seed)
            found.append(scores[positions(view, candidates)])
        return found

    def _regressed(
        self, rows: Floats, places: Positions, known: AuxiliaryRecords, seed: int
    ) -> Floats:
        """Return the log-odds of all records by a regression on their rows of scores."""
        spread = rows[places].std(0)
        rows = (rows - rows[places].mean(0)) / np.where(spread > 0, spread, 1.0)
        columns = np.clip(rows, -_FARTHEST, _FARTHEST).astype(np.float32)
        held_out, scores = scalar_logistic(columns[places], known.member, columns, self.folds, seed)
        scores[places] = held_out
        return scores

    def _compares(self, view: View) -> bool:
        return self.others and sees_references(view)


def _own(view: View) -> list[Attack]:
    """Return the attacks that need only observations of the victim."""
    attacks: list[Attack] = [LossSeries("level")]
    if len({snapshot.round for snapshot in view.closest}) > 1:
        attacks.append(LossSeries("slope"))
    if before_and_after(view):
        attacks.append(LossSeries("change"))
    if seen_updates(view):
        attacks += [GradientAlignment("cosine"), GradientAlignment("inner")]
    return attacks


def _compared() -> list[Attack]:
    """Return the attacks that read others' uploads."""
    return [LiRA(), RMIA(offline_a=1.0), SourceInference("loss")]
