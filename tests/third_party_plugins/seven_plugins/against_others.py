"""An attack that reads the uploads of all participants."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedsim import Attack, AuxiliaryRecords, Needs, SnapshotKind, View, Watcher


class AgainstOthers(Attack):
    """How much better the victim fits a record than the other participants do."""

    needs = Needs(kinds=frozenset({SnapshotKind.UPLOAD}), others=True, parameters=True)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: NDArray[np.int64],
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the victim's first scalar minus the mean of the others', over all rounds."""
        victim = self._fits(view, view.victim, candidates)
        others = [self._fits(view, other, candidates) for other in view.others]
        return victim - np.mean(others, axis=0)

    def _fits(self, view: View, participant: int | None, ids: NDArray[np.int64]) -> NDArray:
        inputs, targets = view.dataset.batch(ids)
        model, rounds = view.new_model().eval(), []
        for snapshot in view.snapshots(SnapshotKind.UPLOAD, participant):
            model.load_state_dict(snapshot.load())
            with torch.no_grad():
                rounds.append(view.objective.record_scalars(model(inputs), targets)[:, 0].numpy())
        return np.mean(rounds, axis=0, dtype=np.float64)
