"""The label alone: under skewed classes it separates members without any model.

An attack that does not exceed it has learned which classes the victim holds, not which records.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from fedsim import seeds
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import PluginError
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import Watcher


class LabelOnly(Attack):
    """Score a record by how many known records of its class are members; no model is used."""

    baseline = True
    needs = Needs(knowledge=frozenset({Knowledge.KNOWN_RECORDS}))

    def __init__(self, folds: int = 5) -> None:
        if folds < 2:
            raise PluginError(f"label: folds is {folds}; valid: 2 or more")
        self.folds = folds

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return the share of members among the known records of each candidate's class.

        One member and one non-member are added to each class (Laplace's rule). A known record is
        scored from the folds that it is not in.

        Raises
        ------
        PluginError
            If there are fewer known members or non-members than folds.
        """
        members = int(known.member.sum())
        if min(members, len(known.member) - members) < self.folds:
            raise PluginError(
                f"label: {self.folds} folds need as many known members and non-members, not "
                f"{members} and {len(known.member) - members}; know more records, or lower folds"
            )
        labels: NDArray[np.int64] = np.asarray(view.dataset.labels)
        classes = int(labels.max()) + 1
        scores = _share(labels[known.records], known.member, classes)[labels[candidates]]
        held_out = np.empty(len(known.records))
        folds = StratifiedKFold(
            self.folds, shuffle=True, random_state=seeds.derive(seed, "folds") % 2**32
        )
        for rest, fold in folds.split(known.records, known.member):
            share = _share(labels[known.records[rest]], known.member[rest], classes)
            held_out[fold] = share[labels[known.records[fold]]]
        place = {record: position for position, record in enumerate(candidates.tolist())}
        for record, score in zip(known.records.tolist(), held_out, strict=True):
            if record in place:
                scores[place[record]] = score
        return scores


def _share(
    labels: NDArray[np.int64], member: NDArray[np.bool_], classes: int
) -> NDArray[np.float64]:
    members = np.bincount(labels[member], minlength=classes)
    total = np.bincount(labels, minlength=classes)
    share: NDArray[np.float64] = (members + 1) / (total + 2)
    return share
