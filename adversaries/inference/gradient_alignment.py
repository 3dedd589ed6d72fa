"""The gradient alignment attack: whether an update was made of a record's gradient.

Li, Li and Ribeiro, *Effective passive membership inference attacks in federated learning against
overparameterized models*, ICLR 2023: the cosine of the record's gradient with the update, and the
difference ``|D|^2 - |D - g|^2``; here with the gradient of every trainable parameter, and as a mean
over the observed rounds (the form that Zhu et al., CVPR 2025, call Avg-Cosine).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.alignment import Alignment, alignments
from adversaries.inference.feature_cache import positions
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import Watcher


class GradientAlignment(Attack):
    """Score a record by how well its gradient agrees with the updates; nothing need be known.

    From the server's position the updates are the victim's own, from what it was sent to what it
    uploaded. From a participant's they are those of the aggregate between observed rounds.

    Parameters
    ----------
    score
        ``cosine`` of gradient and update (default), ``inner`` product, or ``difference``, which is
        twice the inner product minus the gradient's squared norm.
    """

    needs = Needs(parameters=True)

    def __init__(self, score: Literal["cosine", "inner", "difference"] = "cosine") -> None:
        self.kind = score

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try the model with an update of nothing."""
        aligned(view, view.seen[0], view.seen[:1])

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the mean over the updates."""
        pairs = updates(view)
        total = np.zeros(len(view.records))
        with watcher.task("gradient alignment", len(pairs)) as advance:
            for before, after in pairs:
                total += self._of(*aligned(view, before, [after]))
                advance(f"round {after.round}")
        found: NDArray[np.float64] = total[positions(view, candidates)] / len(pairs)
        return found

    def _of(self, found: Alignment) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(found, self.kind)
        return values


def updates(view: View) -> tuple[tuple[Snapshot, Snapshot], ...]:
    """Return the updates that a view shows, as pairs of what training began with and ended with.

    Raises
    ------
    FedsimError
        If it shows none.
    """
    own = tuple(
        (before, after)
        for before, after in view.changes
        if (before.kind, after.kind) == (SnapshotKind.SENT, SnapshotKind.UPLOAD)
    )
    aggregates = view.snapshots(SnapshotKind.AGGREGATE)
    found = own or tuple(pairwise(aggregates))
    if not found:
        raise FedsimError(
            f"{view.adversary} saw no update of {view.query.key}: gradient alignment needs what a "
            "participant was sent and what it uploaded, or the aggregates of two rounds; observe "
            "more rounds (snapshots.rounds)"
        )
    return found


def aligned(view: View, before: Snapshot, afters: Sequence[Snapshot]) -> list[Alignment]:
    """Return how all audited records' gradients agree with updates that began alike."""
    return alignments(
        view.new_model(),
        before.load(),
        [after.load() for after in afters],
        view.dataset.batch,
        view.records,
        view.objective,
    )
