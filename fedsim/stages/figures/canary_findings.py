"""Findings on canaries by kind: the AUC, and the lower bound of epsilon.

Each attack is also evaluated on the canaries of each kind alone, with thresholds from the known
canaries. Random canaries stand for the average record, the others for the worst case.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fedsim.data import AuditSet
from fedsim.evaluation import EvaluationResult, Scores
from fedsim.evaluation.metric import Metric
from fedsim.evaluation.metrics import Auc, EpsilonOneRun
from fedsim.evaluation.metrics.epsilon_bound import EpsilonBound
from fedsim.evaluation.scores import EvaluationError
from fedsim.finding import OwnedFinding
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.ceilings import ceiling_of
from fedsim.stages.figures.evaluate import EvaluatedRun, evaluate_scores
from fedsim.stages.figures.score_files import read_scores

TITLE = "canaries"
_MOST_BOUNDS = 4
_MOST_ROWS = 200


def canary_finding(
    run: RunDirectory, evaluated: EvaluatedRun, guarantees: Sequence[GuaranteeFigures]
) -> OwnedFinding:
    """Return the figures of every attack on each kind of canaries."""
    bounds = bounds_of(evaluated.metrics)[:_MOST_BOUNDS]
    rows = list(_rows(run, evaluated, guarantees, bounds))
    guaranteed = any(row[-1] is not None for row in rows)
    canaries = evaluated.ledger.canaries
    kinds = [] if canaries is None else sorted({str(kind) for kind in canaries if kind})
    counts = {kind: int(np.count_nonzero(canaries == kind)) for kind in kinds}
    return OwnedFinding(
        adversary=TITLE,
        title="records that were put in by a coin",
        figures={**counts, "delta of epsilon": bounds[0].delta},
        columns=(
            *("query", "attack", "canaries", "in, out", "AUC", "AUC, 95 %"),
            *(bound.heading for bound in bounds),
            *(("guaranteed epsilon",) if guaranteed else ()),
        ),
        rows=tuple(row if guaranteed else row[:-1] for row in rows[:_MOST_ROWS]),
    )


def bounds_of(metrics: Sequence[Metric]) -> tuple[EpsilonBound, ...]:
    """Return the epsilon bounds that an experiment measures; by default the one-run bound."""
    named = tuple(one for one in metrics if isinstance(one, EpsilonBound))
    return named or (EpsilonOneRun(),)


def _rows(
    run: RunDirectory,
    evaluated: EvaluatedRun,
    guarantees: Sequence[GuaranteeFigures],
    bounds: Sequence[EpsilonBound],
) -> Iterator[tuple[str | int | float | None, ...]]:
    attackers = {attacker.label: attacker for attacker in evaluated.attackers}
    for who, key, attack in evaluated.evaluation_results:
        attacker = attackers[who]
        (query,) = (one for one in attacker.queries if one.key == key)
        ceiling = ceiling_of(attacker, [query], guarantees, evaluated.experiment)
        audit, scores = evaluated.ledger.audit(query), read_scores(run.scores(who, key, attack))
        for kind, part in _by_kind(evaluated, audit):
            found = _judged(part, scores, evaluated.experiment.seed, [Auc(), *bounds])
            if found is None:
                continue
            yield (
                *(f"{who}, {key}", attack, kind, f"{found.members}, {found.nonmembers}"),
                *(round(found.auc.value, 4), f"{found.auc.low:.3f} to {found.auc.high:.3f}"),
                *(round(found.figures[one.name].value, 4) for one in bounds),
                None if ceiling is None else round(ceiling.epsilon, 4),
            )


def _by_kind(evaluated: EvaluatedRun, audit: AuditSet) -> Iterator[tuple[str, AuditSet]]:
    canaries = evaluated.ledger.canaries
    if canaries is None:
        return
    kinds = canaries[audit.records]
    for kind in sorted({str(one) for one in kinds}):
        chosen = kinds == kind
        yield kind, AuditSet(audit.records[chosen], audit.member[chosen], audit.known[chosen])


def _judged(
    part: AuditSet, scores: Scores, seed: int, metrics: Sequence[Metric]
) -> EvaluationResult | None:
    """Return the figures of one kind; None if their coins left one side empty."""
    chosen = np.isin(scores.records, part.records)
    own = Scores(scores.records[chosen], scores.scores[:, chosen])
    try:
        return evaluate_scores(part, own, seed, metrics)
    except EvaluationError:
        return None
