"""The null check: an exact test that the figures of a null run are those of guessing.

In a null run (`fedsim.data.null_audit`) members and non-members among the evaluation records are
exchangeable, so the figures under the true labels are one draw from those under random labels. The
membership of each query is permuted many times, for all attacks together; each figure's distance
from guessing is measured in its own standard deviations; and the largest distance is compared with
the largest ones of the permutations (Westfall & Young 1993). The test is exact for any metric,
holds its level over all figures of a query together, and is independent of how intervals are
computed.

Bounds with a confidence level of their own (`Metric.resampled` is false) are not tested.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metric import Floats, Metric, ScoredRecords
from fedsim.finding import OwnedFinding
from fedsim.stages.figures.evaluate import EvaluatedRun

LEVEL = 0.01
"""How likely it is that a sound run has a figure that is called no guessing."""

FAILED = "figures that are no guessing"
TITLE = "null run"
_MOST_ROWS = 200


@dataclass(frozen=True)
class NullFigure:
    """One figure of a null run against what guessing gives.

    Attributes
    ----------
    attack, metric
        Of what.
    value, guessing
        The figure, and its mean over the draws of the truth.
    distance
        Between them, in deviations of the draws.
    beyond
        Whether so large a distance is significant among all figures of the query.
    """

    attack: str
    metric: str
    value: float
    guessing: float
    distance: float
    beyond: bool


def null_figures(
    cases: Mapping[str, EvaluationCase],
    metrics: Sequence[Metric],
    seed: int,
    level: float = LEVEL,
) -> tuple[NullFigure, ...]:
    """Compare the figures of one query with those of the same scores under a random truth.

    Parameters
    ----------
    cases
        By attack; all of the same records.
    metrics
        What is measured.
    seed
        Of the draws.
    level
        Of all figures together.
    """
    names = [(attack, metric) for attack in cases for metric in metrics]
    truth = next(iter(cases.values())).joined.member
    random = seeds.generator(seed, "null check")
    draws = int(np.ceil(4 / level))
    figures = np.array(
        [
            [_figure(cases[attack], metric, drawn) for attack, metric in names]
            for drawn in [truth, *(random.permutation(truth) for _ in range(draws))]
        ]
    )
    mean, spread = figures.mean(0), figures.std(0)
    distances = np.abs(figures - mean) / np.where(spread > 0, spread, np.inf)
    largest = distances[1:].max(1)
    # So many of the draws may reach a distance that is called unlikely: p = (1 + k) / (1 + draws).
    reached = int(level * (draws + 1) - 1 + 1e-9)
    limit = np.sort(largest)[-(reached + 1)]
    return tuple(
        NullFigure(attack, metric.name, float(value), float(guess), float(far), bool(far > limit))
        for (attack, metric), value, guess, far in zip(
            names, figures[0], mean, distances[0], strict=True
        )
    )


def null_finding(evaluated: EvaluatedRun) -> OwnedFinding:
    """Return the finding of a null run, for the results, the terminal and the page."""
    by_query: dict[tuple[str, str], dict[str, EvaluationCase]] = {}
    for (adversary, query, attack), result in evaluated.evaluation_results.items():
        by_query.setdefault((adversary, query), {})[attack] = result.cases[0]
    found = [
        (query, one)
        for (adversary, query), cases in by_query.items()
        for one in null_figures(
            cases,
            _measured(evaluated.metrics, cases),
            seeds.derive(evaluated.experiment.seed, adversary, query),
            LEVEL / len(by_query),
        )
    ]
    worst = sorted(found, key=lambda row: (not row[1].beyond, -row[1].distance))
    return OwnedFinding(
        adversary=TITLE,
        title="figures of records that nobody trained on",
        figures={
            FAILED: sum(one.beyond for _, one in found),
            "figures": len(found),
            "at this level for all together": LEVEL,
        },
        columns=("query", "attack", "metric", "figure", "guessing", "deviations", "no guessing"),
        rows=tuple(
            (query, one.attack, one.metric, one.value, one.guessing, one.distance, one.beyond)
            for query, one in worst[:_MOST_ROWS]
        ),
    )


def null_failures(findings: Iterable[OwnedFinding]) -> int:
    """Return how many figures differ from guessing by a run's findings; 0 if it is no null run."""
    counts = [one.figures.get(FAILED, 0) for one in findings if one.adversary == TITLE]
    return sum(count for count in counts if isinstance(count, int))


def _measured(metrics: Sequence[Metric], cases: Mapping[str, EvaluationCase]) -> tuple[Metric, ...]:
    joined = next(iter(cases.values())).joined
    sizes = joined.members, joined.nonmembers
    return tuple(one for one in metrics if one.resampled and one.refusal(*sizes) is None)


def _figure(case: EvaluationCase, metric: Metric, member: NDArray[np.bool_]) -> float:
    """Return a figure as if these were the members, mean over the attack's seeds."""

    def scored(row: Floats, threshold: float) -> ScoredRecords:
        return ScoredRecords(row[member], row[~member], threshold)

    rows = zip(case.joined.scores, case.thresholds, strict=True)
    return float(np.mean([metric.point(scored(row, float(cut))) for row, cut in rows]))
