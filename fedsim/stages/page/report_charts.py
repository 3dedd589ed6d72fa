"""The data of a report's charts, from results, traces and exposure."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Estimate
from fedsim.evaluation.curves import accuracy_by_class, mean_roc, quartiles, score_histogram
from fedsim.privacy.guarantee import Ceiling
from fedsim.report.chart_data import (
    AucByRound,
    ByClass,
    CeilingTrace,
    RocTrace,
    ScoreHistogram,
    SignalCourse,
)
from fedsim.report.results import MEAN, Results
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.auc_by_round import read_exposure, rounds_alone
from fedsim.stages.figures.evaluate import EvaluatedRun
from fedsim.stages.figures.score_files import read_trace
from fedsim.stages.page.report_text import about, leading_attack
from fedsim.stages.preparation.attackers import Attacker


def rocs(evaluated: EvaluatedRun, called: Callable[[str], str] = str) -> list[RocTrace]:
    """Return the mean ROC of every adversary and attack; `called` names the adversaries."""
    return [
        RocTrace(
            called(adversary), attack, r.fpr, r.tpr, m.auc.value, attack in evaluated.baselines
        )
        for (adversary, attack), m in evaluated.means.items()
        for r in [mean_roc(m.cases)]
    ]


def ceilings(results: Results) -> list[CeilingTrace]:
    """Return the ceiling of the ROCs of every adversary that a guarantee binds."""
    found: dict[str, CeilingTrace] = {}
    for row in results.results:
        if row.victim == MEAN and row.ceiling is not None and row.adversary not in found:
            ceiling = Ceiling(row.ceiling.epsilon, row.ceiling.delta)
            grid = np.unique([0.0, *np.geomspace(1e-5, 1, 200), *np.linspace(0, 1, 101)])
            rates = np.array([ceiling.tpr(fpr) for fpr in grid])
            found[row.adversary] = CeilingTrace(row.adversary, grid, rates, ceiling.epsilon)
    return list(found.values())


def histograms(evaluated: EvaluatedRun) -> list[ScoreHistogram]:
    """Return the scores of every adversary and attack, of the first victim."""
    victims = {attacker.label: about(attacker) for attacker in evaluated.attackers}
    return [
        ScoreHistogram(
            *(adversary, attack, h.edges, h.members, h.nonmembers),
            baseline=attack in evaluated.baselines,
            about=victims[adversary],
        )
        for (adversary, attack), mean in evaluated.means.items()
        for h in [score_histogram(mean.cases[0])]
    ]


def courses(run: RunDirectory, evaluated: EvaluatedRun) -> list[SignalCourse]:
    """Return every stored signal over the rounds, for the first victim of each attacker.

    Raises
    ------
    FedsimError
        If a trace is damaged or does not fit the audit.
    """
    return [
        course
        for attacker in evaluated.attackers
        for course in _courses_of(run, attacker, evaluated)
    ]


def by_class(evaluated: EvaluatedRun) -> list[ByClass]:
    """Return the accuracy by class of each attacker's leading attack, first victim only.

    Nothing where the labels are no classes.
    """
    found: list[ByClass] = []
    if evaluated.ledger.labels.ndim != 1 or evaluated.ledger.labels.dtype.kind not in "iu":
        return found
    for attacker in evaluated.attackers:
        attack, ledger = leading_attack(attacker, evaluated), evaluated.ledger
        evaluation_result = evaluated.evaluation_results[
            attacker.label, attacker.queries[0].key, attack
        ]
        classes = accuracy_by_class(
            evaluation_result.cases[0], np.arange(len(ledger)), ledger.labels
        )
        found.append(ByClass(attacker.label, attack, classes, about(attacker)))
    return found


def exposures(run: RunDirectory, evaluated: EvaluatedRun) -> list[AucByRound]:
    """Return the AUC by number of observed rounds, and of each round alone.

    Of the first victim of each attacker; only where more than one round was observed.

    Raises
    ------
    FedsimError
        If a file of it is damaged or does not fit the audit.
    """
    grown = [one for attacker in evaluated.attackers for one in _grown(run, attacker, evaluated)]
    alone = [one for attacker in evaluated.attackers for one in _alone(run, attacker, evaluated)]
    return [one for one in [*grown, *alone] if len(one.rounds) > 1]


def _courses_of(
    run: RunDirectory, attacker: Attacker, evaluated: EvaluatedRun
) -> Iterator[SignalCourse]:
    query = attacker.queries[0]
    audit = evaluated.ledger.audit(query)
    uploaded = attacker.closest(query)
    before = [key for key in attacker.answering(query) if key != uploaded]
    # What a victim was sent says something of its own only if it was malicious.
    shown = {uploaded: attacker.label}
    if attacker.threat().active:
        shown |= dict.fromkeys(before, f"{attacker.label}, before local training")
    for key, path in [(o, p) for o in shown for p in run.traced(attacker.label, query.key, o.name)]:
        rounds, values = read_trace(path)
        if values.shape != (len(rounds), len(audit.records)):
            raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
        # Scores are higher for members; a trace is drawn as the signal itself.
        yield SignalCourse(
            shown[key],
            path.stem.replace("-", " "),
            rounds.astype(np.float64),
            quartiles(values[:, audit.member]),
            quartiles(values[:, ~audit.member]),
            about(attacker),
        )


def _grown(run: RunDirectory, attacker: Attacker, evaluated: EvaluatedRun) -> Iterator[AucByRound]:
    query, seed = attacker.queries[0], evaluated.experiment.seed
    audit = evaluated.ledger.audit(query)
    for adversary, key, attack in evaluated.evaluation_results:
        if (adversary, key) == (attacker.label, query.key):
            paths = run.exposures(adversary, key, attack)
            points = [read_exposure(path, audit, seed) for path in paths]
            if points:
                last = max(evaluated.experiment.observed_rounds)
                points.append((last, evaluated.evaluation_results[adversary, key, attack].auc))
                yield _exposure(adversary, attack, points)


def _alone(run: RunDirectory, attacker: Attacker, evaluated: EvaluatedRun) -> Iterator[AucByRound]:
    query = attacker.queries[0]
    audit = evaluated.ledger.audit(query)
    paths: Iterable[Path] = run.traced(attacker.label, query.key, attacker.closest(query).name)
    for path in paths:
        points = list(rounds_alone(path, audit, evaluated.experiment.seed))
        yield _exposure(attacker.label, path.stem, points, alone=True)


def _exposure(
    adversary: str, attack: str, points: list[tuple[int, Estimate]], *, alone: bool = False
) -> AucByRound:
    return AucByRound(
        adversary,
        attack,
        rounds=[number for number, _ in points],
        auc=[estimate.value for _, estimate in points],
        low=[estimate.low for _, estimate in points],
        high=[estimate.high for _, estimate in points],
        alone=alone,
    )
