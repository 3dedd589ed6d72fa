"""FedMIA: a measure on the victim's upload, standardised by the other participants' uploads.

Zhu, Li, Gu, Yao, Fan and Han, *FedMIA: an effective membership inference attack exploiting "all for
one" principle in federated learning*, CVPR 2025, equations 3 to 12. The others were not trained on
the record, so their uploads are reference models without it: the record is predicted to be a member
if the victim's measure is an outlier among theirs. Measures are the loss (FedMIA-I) and the cosine
of the record's gradient with the update (FedMIA-II).

The defaults differ from the paper in two points. The paper adds cumulative probabilities over the
rounds; these saturate at exactly 1, and ties at the top ruin the TPR at a low FPR, so standard
scores are added here. Its filter drops others above the mean by three standard deviations, which is
impossible among ten or fewer (a single value among n lies at most sqrt(n - 1) population deviations
from the mean); here nothing is filtered by default.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from adversaries.inference.alignment_cache import (
    observed_alignments,
    required_updates,
    seen_updates,
)
from adversaries.inference.feature_cache import features_on, positions
from adversaries.inference.needed_features import needed_features
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import SILENCE, Watcher

Floats = NDArray[np.float64]
_NEEDS = {
    "cosine": Needs(others=True, update_alignment=True),
    "loss": Needs(others=True, scalars=True),
}
_FLOOR = 1e-8  # added to variances, as the paper's code does
_MAD = 1.4826  # of a Gaussian's median absolute deviation


class FedMIA(Attack):
    """Score a record by the victim's measure, standardised by those of the others.

    Parameters
    ----------
    measure
        ``cosine`` (FedMIA-II, default) or ``loss`` (FedMIA-I).
    add
        The quantity averaged over the rounds: ``z``, standard scores, or ``cdf``, the paper's
        cumulative probabilities.
    drop
        Which of the others are excluded for a record: ``none``, ``paper`` (above the mean by three
        standard deviations), or ``median`` (above the median by three times 1.4826 times the median
        absolute deviation, which is possible among few).
    """

    def __init__(
        self,
        measure: Literal["cosine", "loss"] = "cosine",
        add: Literal["z", "cdf"] = "z",
        drop: Literal["none", "paper", "median"] = "none",
    ) -> None:
        self.measure, self.add, self.drop = measure, add, drop
        self.needs = _NEEDS[measure]

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try the model on what is there of one round."""
        self._measured(view, view.seen[0], view.seen[:1], SILENCE)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the measures of the victim's upload and of the others'."""
        for before, after in seen_updates(view):
            self._measured(view, before, [after, *_others(view, after.round)], watcher)

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
        updates = required_updates(view)
        total, rounds = np.zeros(len(view.records)), 0
        with watcher.task("FedMIA", len(updates)) as advance:
            for before, after in updates:
                others = _others(view, after.round)
                if len(others) >= 2:
                    victim, *out = self._measured(view, before, [after, *others], SILENCE)
                    total += stands_out(victim, np.stack(out), add=self.add, drop=self.drop)
                    rounds += 1
                advance(f"round {after.round}")
        if not rounds:
            raise FedsimError(
                "FedMIA compares the victim with others, and in no observed round were two others "
                "seen beside it; let more participants take part"
            )
        found: Floats = total[positions(view, candidates)] / rounds
        return found

    def _measured(
        self, view: View, before: Snapshot, afters: Sequence[Snapshot], watcher: Watcher
    ) -> list[Floats]:
        """Return the measure (N,) of all audited records on each upload; high for members."""
        if self.measure == "cosine":
            return [one.cosine for one in observed_alignments(view, before, afters)]
        found = features_on(view, watcher, afters, needed_features(self.needs))
        return [-one.losses.astype(np.float64) for one in found]


def _others(view: View, round_number: int) -> list[Snapshot]:
    """Return the uploads of the other participants in a round."""
    uploads = view.snapshots(SnapshotKind.UPLOAD, rounds=(round_number,))
    return [one for one in uploads if one.participant in view.others]


def stands_out(
    victim: Floats,
    others: Floats,
    *,
    add: Literal["z", "cdf"] = "z",
    drop: Literal["none", "paper", "median"] = "none",
) -> Floats:
    """Return how far a victim's measures (N,) stand out from those of K others (K, N).

    >>> stands_out(np.array([2.0]), np.array([[-1.0], [1.0]])).round(4)
    array([2.])
    >>> stands_out(np.array([2.0]), np.array([[-1.0], [1.0]]), add="cdf").round(4)
    array([0.9772])
    """
    kept = others
    if drop == "paper":
        limit = others.mean(0) + 3 * others.std(0)
        kept = np.where(others > limit, np.nan, others)
    elif drop == "median":
        middle = np.median(others, 0)
        spread = _MAD * np.median(np.abs(others - middle), 0)
        kept = np.where(others > middle + 3 * spread, np.nan, others)
    z: Floats = (victim - np.nanmean(kept, 0)) / np.sqrt(np.nanvar(kept, 0) + _FLOOR)
    return norm.cdf(z) if add == "cdf" else z
