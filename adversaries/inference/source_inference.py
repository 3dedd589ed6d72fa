"""Source inference: the participant whose upload fits a record best.

Hu, Salcic, Sun, Dobbie and Zhang, *Source Inference Attacks in Federated Learning*, ICDM 2021 (and
IEEE TDSC 2023): given that a record is a member of some participant's data, its source is argmin_k
L(x; theta_k). As a score of membership in the victim's data this is the margin

    score(x) = min over the others j of L(x; theta_j) - L(x; theta_victim),

which is above 0 where the victim is the source that the paper's rule names. A mean over the
observed rounds. Beside the scores it reports the paper's figure on known members: how often the
victim is named, and 1 / K, which is guessing.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from adversaries.inference.feature_cache import positions
from adversaries.inference.reference_models import (
    Floats,
    ReferenceAttack,
    reference_needs,
    round_references,
)
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.finding import Finding
from fedsim.progress import Watcher


class SourceInference(ReferenceAttack):
    """Score a record by the margin of the victim's upload over the best-fitting other one.

    Parameters
    ----------
    measure
        ``log-odds`` (default), which has the order of the loss in each upload and keeps its digits
        where models are certain; or ``loss``, the paper's.
    """

    needs = reference_needs(0)

    def __init__(self, measure: Literal["log-odds", "loss"] = "log-odds") -> None:
        self.measure = measure

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean margin over the rounds."""
        margins = self._margins(view, watcher)
        found: Floats = margins.mean(0)[positions(view, candidates)]
        return found

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return how often the victim is named as the source of its known records."""
        members = positions(view, known.records[known.member])
        if not len(members):
            return ()
        named = (self._margins(view, watcher)[:, members] > 0).mean(1)
        sources = len(view.others) + 1
        return (
            Finding(
                title="source inference on known members",
                figures={
                    "the victim is named, mean over rounds": float(named.mean()),
                    "in the last round": float(named[-1]),
                    "guessing": 1 / sources,
                    "participants": sources,
                },
            ),
        )

    def _margins(self, view: View, watcher: Watcher) -> Floats:
        rounds = round_references(view, watcher, self.needs, "source inference")
        fits = [one.log_likelihoods() if self.measure == "loss" else one.fits() for one in rounds]
        return np.stack([victim - out.max(0) for victim, out in fits])
