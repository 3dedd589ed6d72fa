"""Canaries that are ordinary records: what the average record leaks, by the same coin."""

import numpy as np

from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries


class RandomRecords(CanaryKind):
    """Draw records evenly and leave them as they are."""

    def craft(
        self, candidates: CandidateRecords, count: int, random: np.random.Generator
    ) -> CraftedCanaries:
        """Return records with their own labels."""
        places = random.permutation(len(candidates))[:count]
        return CraftedCanaries(places, np.asarray(candidates.dataset.labels)[places])
