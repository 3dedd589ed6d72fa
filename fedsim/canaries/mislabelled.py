"""Canaries with a wrong label, which a model can only fit by heart.

Nobody else's data say anything of such a label, so the loss of a mislabelled record falls far only
where it was trained on. They are the canaries of Steinke, Nasr and Jagielski's audit (*Privacy
Auditing with One (1) Training Run*, NeurIPS 2023) in the black-box setting.
"""

import numpy as np

from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries, class_labels


class Mislabelled(CanaryKind):
    """Draw records evenly and give each a class that is not its own, evenly among the others."""

    def craft(
        self, candidates: CandidateRecords, count: int, random: np.random.Generator
    ) -> CraftedCanaries:
        """Return records with wrong labels."""
        own = class_labels(candidates.dataset, "mislabelled")
        classes = candidates.dataset.num_classes
        places = random.permutation(len(candidates))[:count]
        labels = (own[places] + random.integers(1, classes, count)) % classes
        return CraftedCanaries(places, labels.astype(candidates.dataset.labels.dtype))
