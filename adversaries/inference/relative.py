"""Features that compare a victim's uploads with the other participants' uploads, over rounds.

The idea of FedMIA (Zhu et al., CVPR 2025) as an input: where nobody else trained on a record, the
others' uploads of a round are models without it, and how a record stands out from them takes out
how hard it is. An attack that knows some members learns what each of these numbers is worth.

Of a round with K others, by record:

========================  ========================================================================
`NAMES`                   What it is
========================  ========================================================================
cosine                    of the record's gradient with the victim's update (Li et al., ICLR 2023)
cosine against others     less the others' mean, over a deviation pooled over the records
alignment against others  the same of <g, D> / (1 - p), which does not fade where models are sure
log-odds against others   the same of the log-odds: LiRA's z (Carlini et al., S&P 2022)
log-likelihood ratio      log p less the logarithm of the others' mean p: RMIA with a = 1
margin                    log-odds less the largest of the others: source inference
========================  ========================================================================

They are averaged over the rounds: a few hundred known records teach a sum better than its terms.
"""

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.alignment_cache import observed_alignments, seen_updates
from adversaries.inference.lira import standard_scores
from adversaries.inference.reference_models import (
    FEWEST,
    Floats,
    RoundReferences,
    others_in,
    reference_needs,
    round_references,
)
from adversaries.inference.rmia import log_ratios
from fedsim.attacks import View
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher

NAMES = (
    "cosine",
    "cosine against others",
    "alignment against others",
    "log-odds against others",
    "log-likelihood ratio",
    "margin",
)
"""The columns, in their order."""
_NEEDS = reference_needs(0)


def relative_features(view: View, watcher: Watcher, attack: str) -> NDArray[np.float32]:
    """Return the numbers of all audited records (N, len(NAMES)), means over the rounds.

    Parameters
    ----------
    view, watcher
        The view, and the receiver of progress.
    attack
        The name of the attack, for error messages.

    Raises
    ------
    FedsimError
        If there is no round in which at least two others were seen.
    """
    rounds = round_references(view, watcher, _NEEDS, attack)
    fits = np.mean([_fits(one) for one in rounds], axis=0)
    aligned = _aligned(view, watcher)
    return np.concatenate([aligned, fits], axis=1).astype(np.float32)


def keep_relative(view: View, watcher: Watcher) -> None:
    """Extract the alignments that `relative_features` reads of the snapshots that are there."""
    for before, after in _own_updates(view):
        observed_alignments(view, before, [after, *others_in(view, after.round)])


def _fits(one: RoundReferences) -> Floats:
    victim, out = one.fits()
    columns = (
        standard_scores(victim, out, "global"),
        log_ratios(*one.log_likelihoods(), 1.0),
        victim - out.max(0),
    )
    return np.stack(columns, axis=1)


def _aligned(view: View, watcher: Watcher) -> Floats:
    """Return the three columns of alignments; zeros where no update of the victim's was seen."""
    total, count = np.zeros((len(view.records), 3)), 0
    updates = _own_updates(view)
    with watcher.task("alignments with all updates", len(updates)) as advance:
        for before, after in updates:
            others = others_in(view, after.round)
            if len(others) >= FEWEST:
                own, *out = observed_alignments(view, before, [after, *others])
                total += np.stack(
                    [
                        own.cosine,
                        standard_scores(own.cosine, np.stack([o.cosine for o in out]), "global"),
                        standard_scores(own.slope, np.stack([o.slope for o in out]), "global"),
                    ],
                    axis=1,
                )
                count += 1
            advance(f"round {after.round}")
    return total / max(count, 1)


def _own_updates(view: View) -> list[tuple[Snapshot, Snapshot]]:
    return [pair for pair in seen_updates(view) if pair[1] in view.closest]
