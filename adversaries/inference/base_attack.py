"""BASE: the victim's log-likelihood of a record against the mean likelihood of OUT models.

Lassila, Oestman, Ngo and Graell i Amat, *Practical Bayes-Optimal Membership Inference Attacks*,
NeurIPS 2025, in the form that LeakPro has:

    score(x) = log p(x) - w [ log sum_k p_k(x) - log K ]

with w = 1 over models half of which have trained on the record, and w = .33 over OUT models alone.
Here at temperature 1, and a mean over the observed rounds. It takes one likelihood and no variance,
so it needs no records that are known.
"""

from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import logsumexp

from adversaries.inference.feature_cache import positions
from adversaries.inference.reference_models import (
    Floats,
    ReferenceAttack,
    reference_needs,
    round_references,
)
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.progress import Watcher


class Base(ReferenceAttack):
    """Score a record by its log-likelihood, calibrated by OUT models (Lassila et al. 2025).

    Parameters
    ----------
    weight
        w, in [0, 1].
    federations
        As of `LiRA`.
    """

    def __init__(
        self, weight: Annotated[float, Field(ge=0, le=1)] = 0.33, federations: int = 0
    ) -> None:
        self.weight = weight
        self.needs = reference_needs(federations)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the rounds."""
        rounds = round_references(view, watcher, self.needs, "BASE")
        scores = np.mean([base_score(*one.log_likelihoods(), self.weight) for one in rounds], 0)
        found: Floats = scores[positions(view, candidates)]
        return found


def base_score(victim: Floats, out: Floats, weight: float) -> Floats:
    """Return the score (N,) of log-likelihoods of the victim's model (N,) and of K OUT ones (K, N).

    >>> base_score(np.log([0.9]), np.log([[0.2], [0.4]]), 1.0).round(4)  # .9 over .3
    array([1.0986])
    """
    found: Floats = victim - weight * (logsumexp(out, axis=0) - np.log(len(out)))
    return found
