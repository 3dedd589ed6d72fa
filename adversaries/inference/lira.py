"""LiRA: the victim's confidence in a record, compared with that of models without the record.

Carlini, Chien, Nasr, Song, Terzis and Tramer, *Membership Inference Attacks From First Principles*,
IEEE S&P 2022. With phi = log p_y - log(1 - p_y) on the victim's model and N(mu, s) fitted to the
phi of OUT models,

    offline:  - log Pr[ Z > phi ],  Z ~ N(mu, s)
    online:   log N(phi; mu_in, s_in) - log N(phi; mu, s)

The paper's score is 1 - Pr[Z > phi]; the logarithm of the tail has the same order in one round and
no ties at the top, where the cumulative probability is exactly 1. Scores are averaged over rounds:
for p-values this is Fisher's rule, for log-ratios it assumes independent rounds.

In the paper mu_in is that of models trained on the record, IN models. With shadow federations,
``online`` is the paper's: in half of them the victim's stand-in trains on the record (see
`in_models`). Beside other participants' uploads there is at most one model that was trained on it.
There N(mu_in, s_in) is mu(x) plus the excess of known members over their own mu: one shift and one
spread for all records, cross-fitted on the known ones.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from adversaries.inference.crossfit import folds
from adversaries.inference.feature_cache import positions
from adversaries.inference.in_models import likelihood_ratio
from adversaries.inference.reference_models import (
    Floats,
    ReferenceAttack,
    RoundReferences,
    reference_needs,
    round_references,
)
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.progress import Watcher

Variance = Literal["auto", "record", "global"]
ENOUGH = 64
"""Of the models, for a variance of each record's own (the paper's rule)."""

_FLOOR = 1e-8  # of standard deviations
_FOLDS = 5


class LiRA(ReferenceAttack):
    """Score a record by a likelihood ratio of its log-odds (Carlini et al. 2022).

    Parameters
    ----------
    mode
        ``offline`` (default): the excess over the OUT models. ``online``: also compared with the IN
        models, which shadow federations provide; without federations, with the excess of known
        members.
    variance
        Variance of the models: ``record``, one for each record; ``global``, one for each round,
        pooled over the records; ``auto`` (default), for each record from 64 models on.
    federations
        Number of shadow federations that provide the models, 4 or more for ``online``, where each
        audited record is trained on in half of them; 0 (default) for the uploads of the other
        participants, whose data must be disjoint from the victim's.
    """

    def __init__(
        self,
        mode: Literal["offline", "online"] = "offline",
        variance: Variance = "auto",
        federations: int = 0,
    ) -> None:
        self.mode, self.variance = mode, variance
        by_known = mode == "online" and not federations
        self.stochastic = by_known  # type: ignore[misc]
        self.needs = reference_needs(
            federations, known=by_known, targets=mode == "online" and federations > 0
        )

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the rounds."""
        rounds = round_references(view, watcher, self.needs, "LiRA")
        if self.needs.shadow_targets:
            ratios = np.mean([self.online_ratio(one, *one.fits()) for one in rounds], axis=0)
            online: Floats = ratios[positions(view, candidates)]
            return online
        z = np.stack([standard_scores(*one.fits(), self.variance) for one in rounds])
        if self.mode == "offline":
            scores = upper_tail(z)
        else:
            places = positions(view, known.records)
            scores = against_known_members(z, places, known.member, seed)
        found: Floats = scores[positions(view, candidates)]
        return found

    def online_ratio(self, one: RoundReferences, victim: Floats, models: Floats) -> Floats:
        """Return the log-ratio (N,) of values (N,) by those of the IN and OUT models (K, N)."""
        assert one.trained is not None  # noqa: S101 - the needs say so
        own = self.variance == "record" or (self.variance == "auto" and len(models) >= ENOUGH)
        return likelihood_ratio(victim, models, one.trained, own=own)


def standard_scores(victim: Floats, out: Floats, variance: Variance = "auto") -> Floats:
    """Return standard scores of values (N,) among those of K OUT models (K, N).

    >>> standard_scores(np.array([3.0]), np.array([[-1.0], [1.0]]), "record").round(4)
    array([2.1213])
    """
    own = variance == "record" or (variance == "auto" and len(out) >= ENOUGH)
    variances = out.var(0, ddof=1)
    spread = np.sqrt(variances if own else variances.mean())
    z: Floats = (victim - out.mean(0)) / np.maximum(spread, _FLOOR)
    return z


def upper_tail(z: Floats) -> Floats:
    """Return the mean over rounds of minus the log probability of lying above: (N,) of (T, N)."""
    tails: Floats = -log_ndtr(-z).mean(0)
    return tails


def against_known_members(
    z: Floats, known: NDArray[np.intp], member: NDArray[np.bool_], seed: int
) -> Floats:
    """Return log N(z; members') - log N(z; 0, 1), a mean over rounds; a known one's out of fold.

    Parameters
    ----------
    z
        Standard scores (T, N), or of several signals (T, S, N).
    known, member
        Where the known records stand, and their truth.
    seed
        Of the folds.
    """

    def ratio(of: Floats, learned: NDArray[np.intp]) -> Floats:
        inside = z[..., learned]
        mean = inside.mean(-1, keepdims=True)
        spread = np.maximum(inside.std(-1, keepdims=True), _FLOOR)
        log_ratio = (of**2 - ((of - mean) / spread) ** 2) / 2 - np.log(spread)
        scores: Floats = log_ratio.mean(0) if log_ratio.ndim == 2 else log_ratio.mean((0, 1))
        return scores

    scores = ratio(z, known[member])
    for rest, held_out in folds(member, _FOLDS, seed):
        learned = known[rest][member[rest]]
        scores[known[held_out]] = ratio(z[..., known[held_out]], learned)
    return scores
