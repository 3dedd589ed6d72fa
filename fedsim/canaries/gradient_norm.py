"""Worst-case canaries: the records with the largest gradients.

What a record changes in one step is its gradient, up to the clipping of a defence: those with the
largest norm are where a guarantee of DP-SGD is strained the most. Norms are taken at the initial
parameters, which say nothing of who trains on what.
"""

import numpy as np

from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.errors import DataError


class LargestGradients(CanaryKind):
    """Take the records whose gradient at the initial parameters is the longest."""

    def craft(
        self, candidates: CandidateRecords, count: int, random: np.random.Generator
    ) -> CraftedCanaries:
        """Return the records with the largest gradients, with their own labels."""
        norms = candidates.gradient_norms
        if not np.isfinite(norms).all():
            raise DataError(
                "audit.canaries: the gradient of a record at the initial parameters is not finite, "
                "so that none is the largest; use random canaries, or another model"
            )
        order = random.permutation(len(candidates))  # so that ties are no order of the source
        places = order[np.argsort(-norms[order], kind="stable")][:count]
        return CraftedCanaries(places, np.asarray(candidates.dataset.labels)[places])
