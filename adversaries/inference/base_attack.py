"""BASE: the victim's log-likelihood of a record against the mean likelihood of OUT models.

Lassila, Oestman, Ngo and Graell i Amat, *Practical Bayes-Optimal Membership Inference Attacks*,
NeurIPS 2025, in the form of LeakPro:

    score(x) = log p(x) - w [ log sum_k p_k(x) - log K ]

with w = 1 over models half of which were trained on the record, and w = .33 over OUT models alone.
Here with temperature 1, averaged over the observed rounds. It needs no variance, and therefore no
known records.
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
        The weight w, in [0, 1].
    federations
        As in `LiRA`.
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
    """Return scores (N,) from log-likelihoods of the victim's (N,) and of K OUT models (K, N).

    >>> base_score(np.log([0.9]), np.log([[0.2], [0.4]]), 1.0).round(4)  # .9 over .3
    array([1.0986])
    """
    found: Floats = victim - weight * (logsumexp(out, axis=0) - np.log(len(out)))
    return found
