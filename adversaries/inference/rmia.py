"""RMIA: the victim's likelihood ratio of a record, compared with those of population records.

Zarifzadeh, Liu and Shokri, *Low-Cost High-Power Membership Inference Attacks*, ICML 2024. With p
the likelihood of a record under the victim's model and, offline, over OUT models only,

    P(x) = (1 + a) / 2 mean_OUT p(x) + (1 - a) / 2,    r_x = p(x) / P(x),
    score(x) = share of the population's z with r_x / r_z > gamma.

Online, P(x) is the mean of p(x) over IN and OUT models, half and half: shadow federations, in half
of which the victim's stand-in trains on the record (see `in_models`).

A mean over the observed rounds. The population is the known non-members, a record itself left out.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import logsumexp

from adversaries.inference.feature_cache import positions
from adversaries.inference.in_models import mean_of_both
from adversaries.inference.reference_models import (
    Floats,
    ReferenceAttack,
    RoundReferences,
    reference_needs,
    round_references,
)
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.progress import Watcher


class RMIA(ReferenceAttack):
    """Score a record by the share of population records that it exceeds (Zarifzadeh et al. 2024).

    Parameters
    ----------
    add
        What is averaged over the rounds: ``log-ratio`` (default), log r_x minus the population's
        mean, which has the order of the paper's score in each round and no ties; or ``share``, the
        paper's.
    offline_a
        a, in [0, 1]: how far p of a model that has trained on a record rises with that of one that
        has not. The paper tunes it on models of its own and finds .3 to .33.
    gamma
        The factor gamma of ``share``; 1 or above.
    federations
        As in `LiRA`.
    mode
        ``offline`` (default), by OUT models, or ``online``, by IN models as well, for which
        `federations` must be 4 or more.
    """

    def __init__(
        self,
        add: Literal["log-ratio", "share"] = "log-ratio",
        offline_a: Annotated[float, Field(ge=0, le=1)] = 0.33,
        gamma: Annotated[float, Field(ge=1)] = 1.0,
        federations: int = 0,
        mode: Literal["offline", "online"] = "offline",
    ) -> None:
        self.add, self.offline_a, self.gamma, self.mode = add, offline_a, gamma, mode
        self.needs = reference_needs(federations, known=True, targets=mode == "online")

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the rounds.

        Raises
        ------
        FedsimError
            If no non-member is known.
        """
        population = positions(view, known.records[~known.member])
        if len(population) < 2:
            raise FedsimError(
                "RMIA compares records with known non-members, and fewer than two are known; set "
                "audit.known_nonmembers"
            )
        rounds = round_references(view, watcher, self.needs, "RMIA")
        ratios = [self._log_ratios(one) for one in rounds]
        if self.add == "share":
            scores = np.mean([beaten(one, one[population], self.gamma) for one in ratios], axis=0)
            scores[population] *= len(population) / (len(population) - 1)  # it never beats itself
        else:
            scores = np.mean([one - one[population].mean() for one in ratios], axis=0)
        found: Floats = scores[positions(view, candidates)]
        return found

    def _log_ratios(self, one: RoundReferences) -> Floats:
        victim, models = one.log_likelihoods()
        if one.trained is None:
            return log_ratios(victim, models, self.offline_a)
        return victim - mean_of_both(models, one.trained)


def log_ratios(victim: Floats, out: Floats, offline_a: float) -> Floats:
    """Return log r (N,) from log-likelihoods of the victim's model (N,) and of OUT models (K, N).

    >>> log_ratios(np.log([0.9]), np.log([[0.2], [0.4]]), 1.0).round(4)  # .9 over .3
    array([1.0986])
    """
    mean = logsumexp(out, axis=0) - np.log(len(out))
    with np.errstate(divide="ignore"):
        prior = np.logaddexp(np.log((1 + offline_a) / 2) + mean, np.log((1 - offline_a) / 2))
    ratios: Floats = victim - prior
    return ratios


def beaten(log_ratio: Floats, population: Floats, gamma: float) -> Floats:
    """Return the share of the population's log-ratios that each log-ratio exceeds by log gamma.

    >>> beaten(np.array([0.0, 1.0]), np.array([0.5, 2.0]), 1.0)
    array([0. , 0.5])
    """
    below = np.searchsorted(np.sort(population), log_ratio - np.log(gamma), side="left")
    shares: Floats = below / len(population)
    return shares
