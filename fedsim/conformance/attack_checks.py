"""Checks of the contract of an attack (`fedsim.attacks`).

Without any signal, the AUC of m members and n non-members has the standard deviation sqrt((m + n +
1) / (12 m n)) (Mann and Whitney 1947). A check fails only if chance would cause that less than once
in ten thousand times.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fedsim import plugins, seeds
from fedsim.attacks import AuxiliaryRecords, Traced
from fedsim.conformance.attack_trial import SEED, AttackTrial, ScoreArray
from fedsim.conformance.checklist import Check, Failed, NotApplicable
from fedsim.engines.threads import limited_threads
from fedsim.progress import SILENCE

SHUFFLES = 12
SWING = 1.6
"""How much wider chance is for scores that were learned from the very truth that is asked for.

Folds learn from each other's records, so they err together: over 40 shuffles the AUC of an honest
logistic regression had a deviation of .071, where scores that learn nothing have .046.
"""
BEYOND_CHANCE = 4.0
"""Standard deviations from .500 that are no chance any more."""
NOISE_OF_RANKS = 0.2
ROUNDING = 1e-4
"""Relative: another order of a batch rounds sums otherwise."""


def attack_checks(attempt: AttackTrial) -> Sequence[Check]:
    """Return the checks of an attack, in the order in which they make sense."""
    checks = {
        "leaves what it is given as it was": leaves_things_alone,
        "gives the same scores to the same seed": repeats,
        "another seed gives other scores only if it says so": is_stochastic_as_it_says,
        "scores a record alike wherever it stands among the candidates": ignores_order,
        "does not read which records are test records": ignores_the_split,
        "scores a known record as if it were not known": is_cross_fitted,
        "finds nothing where there is nothing": finds_nothing_in_nothing,
        "its signal over the rounds has a row per snapshot": traces,
    }
    return [
        Check("says in one line what it is", partial(is_described, attempt)),
        Check("gives every candidate one finite score", partial(scores_all, attempt), gate=True),
        *(Check(claim, partial(check, attempt)) for claim, check in checks.items()),
        Check("finds a planted leak", partial(finds_the_leak, attempt), decides=False),
    ]


def is_described(attempt: AttackTrial) -> None:
    """`fedsim list attacks` shows the first line of its documentation."""
    if not plugins.resolve("attacks", attempt.name).__doc__:  # its own, not an inherited one
        raise Failed("it has no docstring; its first line is what `fedsim list` shows")


def scores_all(attempt: AttackTrial) -> str:
    """One finite number per candidate."""
    return f"{len(attempt.scores)} records"


def leaves_things_alone(attempt: AttackTrial) -> None:
    """Attacks share the view: what one changes, the next one reads."""
    view, known = attempt.view, attempt.known
    candidates = attempt.audit.records.copy()
    given: dict[str, NDArray[np.generic]] = {
        "the candidates": candidates,
        "known.records": known.records,
        "known.member": known.member,
        "the features of the data set": view.dataset.features,
        "the labels of the data set": view.dataset.labels,
    }
    before = {name: array.copy() for name, array in given.items()}
    with limited_threads(1):
        attempt.attack.score(view, known, candidates, SEED, SILENCE)
    for name, array in given.items():
        if not np.array_equal(array, before[name]):
            raise Failed(f"score() changes {name} in place; work on a copy")


def repeats(attempt: AttackTrial) -> str:
    """Every draw comes from the seed, and stored features give the same scores as new ones."""
    afresh = replace(attempt.view, features=attempt.folder / "features-again")
    for what, scores in (
        ("called again", attempt.scored()),
        ("called again without the features that were kept", attempt.scored(afresh)),
    ):
        if not np.array_equal(scores, attempt.scores):
            raise Failed(
                f"{what}, it scores {_changed(scores, attempt.scores)}; every draw must come from "
                "the seed (fedsim.seeds)"
            )
    return "bit for bit"


def is_stochastic_as_it_says(attempt: AttackTrial) -> str | None:
    """An attack that is not `stochastic` is run with one seed only.

    Only evaluation records count: the folds of known records may depend on the seed.
    """
    tested = ~attempt.audit.known
    other = attempt.scored(seed=SEED + 1)
    same = np.array_equal(other[tested], attempt.scores[tested])
    if same and attempt.attack.stochastic:
        return "stochastic is True, but two seeds agree: each is computed for nothing"
    if not same and not attempt.attack.stochastic:
        raise Failed(
            f"another seed scores {_changed(other[tested], attempt.scores[tested])}, but "
            "`stochastic` is False, so only one seed would be run; set stochastic = True"
        )
    return None


def ignores_order(attempt: AttackTrial) -> str | None:
    """Scores are in the order of the candidates and belong to the record.

    A stochastic attack may draw in the order of the candidates; another order may then change its
    scores at most as much as another seed does.
    """
    records = attempt.audit.records
    order = seeds.generator(SEED, "order").permutation(len(records))
    scores = np.empty(len(records))
    scores[order] = attempt.scored(candidates=records[order])
    if np.allclose(scores, attempt.scores, rtol=ROUNDING, atol=ROUNDING):
        return None
    if not attempt.attack.stochastic:
        raise Failed(
            f"the same candidates in another order: {_changed(scores, attempt.scores)} scored "
            "otherwise; return scores in the order of `candidates`"
        )
    by_order = _rank_correlation(scores, attempt.scores)
    by_seed = _rank_correlation(attempt.scored(seed=SEED + 1), attempt.scores)
    if by_order < by_seed - NOISE_OF_RANKS:
        raise Failed(
            f"the same candidates in another order have other scores (rank correlation "
            f"{by_order:.2f}; another seed: {by_seed:.2f}); return scores in the order of "
            "`candidates`"
        )
    return f"another order is like another seed (rank correlation {by_order:.2f}, {by_seed:.2f})"


def ignores_the_split(attempt: AttackTrial) -> None:
    """No participant trains on a test record, so the split reveals part of the truth."""
    dataset = attempt.view.dataset
    moved = replace(dataset, test=seeds.generator(SEED, "split").permutation(dataset.test))
    scores = attempt.scored(replace(attempt.view, dataset=moved))
    if not np.array_equal(scores, attempt.scores):
        raise Failed(
            f"with other test records it scores {_changed(scores, attempt.scores)}; "
            "view.dataset.test shows which records cannot be members, so it must not be read"
        )


def is_cross_fitted(attempt: AttackTrial) -> str:
    """Given shuffled labels, it must not reproduce them on the records it learned from.

    An attack that has learned from a record reproduces its given label. The threshold is chosen on
    the scores of known records, so these must come from models that have not seen the record.
    """
    audit, areas = attempt.audit, []
    for number in range(SHUFFLES):
        shuffled = audit.member.copy()
        random = seeds.generator(SEED, "shuffle", number)
        shuffled[audit.known] = random.permutation(shuffled[audit.known])
        known = AuxiliaryRecords(audit.records[audit.known], shuffled[audit.known])
        areas.append(attempt.area(attempt.scored(known=known), shuffled, audit.known))
    mean = float(np.mean(areas))
    told_members = int(audit.member[audit.known].sum())
    width = _width(told_members, int(audit.known.sum()) - told_members) * SWING / SHUFFLES**0.5
    figure = f"AUC on known records with shuffled truth {mean:.3f}, guessing .500 ± {width:.3f}"
    if mean > 0.5 + width:
        raise Failed(
            f"{figure}: it scores known records by the truth that it was given; score each by a "
            "model that has not seen it (cross-fitting)"
        )
    return figure


def finds_nothing_in_nothing(attempt: AttackTrial) -> str:
    """Untrained models reveal nothing about membership."""
    tested = ~attempt.audit.known
    area = attempt.area(attempt.scored(attempt.ignorant), attempt.audit.member, tested)
    width = _width(*_sides(attempt))
    figure = f"AUC on models that were never trained {area:.3f}, guessing .500 ± {width:.3f}"
    if abs(area - 0.5) > width:
        raise Failed(f"{figure}: it knows something of the truth that no model shows")
    return figure


def finds_the_leak(attempt: AttackTrial) -> str:
    """On a victim that has memorised its labels; shown, not a pass or a failure."""
    tested = ~attempt.audit.known
    area = attempt.area(attempt.scores, attempt.audit.member, tested)
    width = _width(*_sides(attempt))
    outcome = "better than chance" if area > 0.5 + width else "no better than chance"
    found = f"AUC {area:.3f} on {tested.sum()} tested records"
    return f"{found}, guessing .500 ± {width:.3f}: {outcome}"


def traces(attempt: AttackTrial) -> str:
    """The report draws the course of an attack's signal."""
    attack, view = attempt.attack, attempt.view
    if not isinstance(attack, Traced):
        raise NotApplicable("it has no trace()")
    with limited_threads(1):
        signal = np.asarray(attack.trace(view, SILENCE))
    wanted = (len(view.answering), len(view.records))
    if signal.shape != wanted or not np.isfinite(signal).all():
        raise Failed(f"trace() returned shape {signal.shape}; finite numbers {wanted} are needed")
    return f"{wanted[0]} snapshots"


def _sides(attempt: AttackTrial) -> tuple[int, int]:
    tested = attempt.audit.member[~attempt.audit.known]
    return int(tested.sum()), int((~tested).sum())


def _width(members: int, nonmembers: int) -> float:
    """Return how far an AUC may differ from .500 by chance."""
    deviation = math.sqrt((members + nonmembers + 1) / (12 * members * nonmembers))
    return BEYOND_CHANCE * deviation


def _changed(scores: ScoreArray, before: ScoreArray) -> str:
    return f"{int((scores != before).sum())} of {len(before)} records"


def _rank_correlation(scores: ScoreArray, before: ScoreArray) -> float:
    if np.ptp(scores) == 0 or np.ptp(before) == 0:
        return 1.0 if np.array_equal(scores, before) else 0.0
    return float(spearmanr(scores, before).statistic)
