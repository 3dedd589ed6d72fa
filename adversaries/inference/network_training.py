"""Training of attack networks: on known members and non-members, to score other records.

Networks are cross-fitted (see `crossfit`), so that the held-out records choose the epoch and give
scores on which a threshold may be chosen; all other records get the mean over the K networks.

One epoch is chosen for all folds, by the smallest mean held-out loss (`epoch_choice`). Choosing it
for each fold would leak the held-out membership into the held-out scores.
"""

from collections.abc import Sequence

import numpy as np

from adversaries.inference.crossfit import BoolArray, OnProgress, ScoreArray, folds
from adversaries.inference.fold_stack import NetworkFold
from adversaries.inference.inputs import Inputs
from adversaries.inference.memory import require_network_fits
from adversaries.inference.network_fitting import FittedNetwork, fit_networks
from adversaries.inference.training_settings import SupervisedSettings
from fedsim.errors import DataError


def fit_and_score(
    inputs: Inputs,
    member: BoolArray,
    candidates: Inputs,
    settings: SupervisedSettings,
    attack_seeds: Sequence[int],
    progress: OnProgress | None = None,
) -> tuple[ScoreArray, ScoreArray]:
    """Train on the known records; score them (out of fold) and the candidates.

    Parameters
    ----------
    inputs
        What is read of the N known records, not standardised.
    member
        (N,) their truth.
    candidates
        The same of M other records.
    settings
        How to train.
    attack_seeds
        S seeds, from which all randomness comes; the same seeds give the same scores, bit for bit.
    progress
        Called with the number of epochs trained so far, of all networks; there are
        `SupervisedSettings.steps` a seed. One network over 200,000 outputs takes minutes.

    Returns
    -------
    (array, array)
        Membership logits (S, N) of the known records, each by networks that have not seen it, and
        (S, M) of the candidates.

    Raises
    ------
    DataError
        If truths and records differ in number, or a side has fewer records than there are folds.
    FedsimError
        If a network takes more memory than there is.
    """
    if len(member) != len(inputs):
        raise DataError(f"{len(inputs)} records are known but the truth of {len(member)} is given")
    read = settings.network.vector_snapshots
    inputs, candidates = inputs.latest(read), candidates.latest(read)
    require_network_fits(settings.network.build, inputs)
    fits = fit_networks(
        inputs,
        member,
        candidates,
        settings,
        [fold for seed in attack_seeds for fold in _folds_of(member, settings, seed)],
        progress,
    )
    chosen = [
        _scored_seed([fit for fit in fits if fit.fold.seed == seed], len(inputs), settings)
        for seed in attack_seeds
    ]
    return np.stack([held_out for held_out, _ in chosen]), np.stack([other for _, other in chosen])


def _folds_of(member: BoolArray, settings: SupervisedSettings, seed: int) -> list[NetworkFold]:
    return [
        NetworkFold(seed, repeat, number, rest, held_out)
        for repeat in range(settings.repeats)
        for number, (rest, held_out) in enumerate(folds(member, settings.folds, seed, repeat))
    ]


def _scored_seed(
    fits: Sequence[FittedNetwork], known: int, settings: SupervisedSettings
) -> tuple[ScoreArray, ScoreArray]:
    """Return the scores of one attack seed, from its networks."""
    held_out_scores, candidate_scores = np.zeros(known), np.zeros(0)
    for repeat in range(settings.repeats):
        own = [fit for fit in fits if fit.fold.repeat == repeat]
        for fit in own:
            held_out_scores[fit.fold.held_out] += fit.held_out_scores / settings.repeats
        scores = np.mean([fit.candidate_scores for fit in own], axis=0) / settings.repeats
        candidate_scores = candidate_scores + scores if repeat else scores
    return held_out_scores, candidate_scores
