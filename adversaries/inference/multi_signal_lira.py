"""LiRA on several signals: log-ratios are added, assuming that the signals are independent.

As in LeakPro (`multi_signal_lira`), with two differences. LeakPro's offline score is
- log N(s; OUT), which is high also for values far *below* the OUT models; here each signal is
one-sided, in the direction of the first one. ``online`` is as in `lira`, for each signal.
"""

from typing import Literal

import numpy as np

from adversaries.inference.feature_cache import positions
from adversaries.inference.lira import (
    LiRA,
    Variance,
    against_known_members,
    standard_scores,
    upper_tail,
)
from adversaries.inference.reference_models import Floats, RoundReferences, round_references
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.progress import Watcher


class MultiSignalLiRA(LiRA):
    """Score a record by the likelihood ratios of all scalars of the objective, added.

    Of a classifier they are the log-odds of the label, the margin, the true logit, and the others'
    log-sum-exp.

    Parameters
    ----------
    mode, variance, federations
        As in `LiRA`.
    """

    def __init__(
        self,
        mode: Literal["offline", "online"] = "offline",
        variance: Variance = "auto",
        federations: int = 0,
    ) -> None:
        super().__init__(mode, variance, federations)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the rounds and signals."""
        rounds = round_references(view, watcher, self.needs, "multi-signal LiRA")
        signals = view.objective.scalars
        if self.needs.shadow_targets:
            ratios = [self.online_ratio(one, *one.scalars(n)) for one in rounds for n in signals]
            online: Floats = np.mean(ratios, axis=0)[positions(view, candidates)]
            return online
        z = np.stack([[self._scores(one, name) for name in signals] for one in rounds])
        if self.mode == "offline":
            scores = np.mean([upper_tail(z[:, place]) for place in range(len(signals))], axis=0)
        else:
            places = positions(view, known.records)
            scores = against_known_members(z, places, known.member, seed)
        found: Floats = scores[positions(view, candidates)]
        return found

    def _scores(self, one: RoundReferences, name: str) -> Floats:
        first, (victim, out) = one.fits()[1], one.scalars(name)
        z = standard_scores(victim, out, self.variance)
        together = ((first - first.mean(0)) * (out - out.mean(0))).sum()
        return -z if together < 0 else z
