"""Leave one out: the victim's upload compared with the aggregate without it.

    score(x) = L(x; theta_-k) - L(x; theta_k),    theta_-k the mean of the other uploads.

With FedAvg and equal weights theta_-k is exactly the aggregate without participant k: from
theta_G = w theta_k + (1 - w) theta_-k follows theta_-k = (theta_G - w theta_k) / (1 - w). It is
difficulty calibration (Watson, Guo, Cormode and Sablayrolles, ICLR 2022) with one reference model
that costs nothing; the form is read from public code of federated prompt tuning. Weights that the
server knows and the attack does not know (numbers of records) are taken as equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from adversaries.inference.extraction import extract
from adversaries.inference.feature_cache import positions
from adversaries.inference.needed_features import FIT
from adversaries.inference.reference_models import FEWEST, Floats
from fedsim import load_exchanged
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

_FIT = replace(FIT, batch_size=500)


class LeaveOneOut(Attack):
    """Score a record by how much better the victim's upload fits it than the mean of the others.

    Parameters
    ----------
    measure
        ``log-odds`` (default), whose difference keeps its digits where both models are certain; or
        ``loss``.
    """

    needs = Needs(others=True, parameters=True)

    def __init__(self, measure: Literal["log-odds", "loss"] = "log-odds") -> None:
        self.measure = measure

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try the model on one snapshot."""
        self._fit(view, view.seen[0].load())

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the rounds in which others were seen, too.

        Raises
        ------
        FedsimError
            If there is no round in which two others were seen.
        """
        total, rounds = np.zeros(len(view.records)), 0
        with watcher.task("leave one out", len(view.closest)) as advance:
            for own in view.closest:
                uploads = view.snapshots(SnapshotKind.UPLOAD, rounds=(own.round,))
                others = [s for s in uploads if s.participant not in view.query.victims]
                if len(others) >= FEWEST:
                    without = mean_state([one.load() for one in others])
                    total += self._fit(view, own.load()) - self._fit(view, without)
                    rounds += 1
                advance(f"round {own.round}")
        if not rounds:
            raise FedsimError(
                "leave-one-out averages the uploads of the others, and in no observed round were "
                "two of them seen; let more participants take part"
            )
        found: Floats = total[positions(view, candidates)] / rounds
        return found

    def _fit(self, view: View, state: Mapping[str, Tensor]) -> Floats:
        """Return how well a model fits all audited records, (N,)."""
        model = view.new_model()
        load_exchanged(model, state)
        found = extract(model, view.dataset.batch, view.records, _FIT, objective=view.objective)
        values = -found.losses if self.measure == "loss" else found.scalars[:, 0]
        return values.astype(np.float64)


def mean_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of parameters, in double precision; counters are those of the first."""
    return {
        name: torch.stack([one[name].double() for one in states]).mean(0).to(value)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
