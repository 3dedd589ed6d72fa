"""Gradient alignment: whether an update contains a record's gradient.

Li, Li and Ribeiro, *Effective passive membership inference attacks in federated learning against
overparameterized models*, ICLR 2023: the cosine of the record's gradient with the update, and the
difference ``|D|^2 - |D - g|^2``; here with the gradient of every trainable parameter, and as a mean
over the observed rounds (the form that Zhu et al., CVPR 2025, call Avg-Cosine).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.alignment import Alignment
from adversaries.inference.alignment_cache import (
    observed_alignments,
    required_updates,
    seen_updates,
)
from adversaries.inference.feature_cache import positions
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher


class GradientAlignment(Attack):
    """Score a record by the alignment of its gradient with the updates; needs no known members.

    From the server's position the updates are the victim's own, between the parameters it was sent
    and its upload. From a participant's they are those of the aggregate between observed rounds.

    Parameters
    ----------
    score
        ``cosine`` of gradient and update (default), ``inner`` product, or ``difference``, which is
        twice the inner product minus the gradient's squared norm.
    """

    needs = Needs(update_alignment=True)

    def __init__(self, score: Literal["cosine", "inner", "difference"] = "cosine") -> None:
        self.kind = score

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try the model with an update of length zero."""
        observed_alignments(view, view.seen[0], view.seen[:1])

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the alignments with the updates."""
        for before, after in seen_updates(view):
            observed_alignments(view, before, [after])

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the mean over the updates.

        Raises
        ------
        FedsimError
            If the view shows no update.
        """
        updates = required_updates(view)
        total = np.zeros(len(view.records))
        with watcher.task("gradient alignment", len(updates)) as advance:
            for before, after in updates:
                (alignment,) = observed_alignments(view, before, [after])
                total += self._measure(alignment)
                advance(f"round {after.round}")
        found: NDArray[np.float64] = total[positions(view, candidates)] / len(updates)
        return found

    def _measure(self, alignment: Alignment) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(alignment, self.kind)
        return values
