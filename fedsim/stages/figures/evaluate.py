"""From score files to figures: every attack's scores are joined to the ledger by record id.

Needs neither the data set, nor the model, nor the user's plugins: only the ledger, the scores and
the attackers' declarations.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.data import AuditSet, Ledger, read_ledger
from fedsim.errors import PluginError, RunDirectoryError, listed
from fedsim.evaluation import (
    EvaluationResult,
    Scores,
    Truth,
    evaluate_attack,
    mean_evaluation_result,
)
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.evaluation.metric import Metric
from fedsim.evaluation.metrics import balanced_accuracy
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.attackers_file import recorded_attackers
from fedsim.stages.figures.carried_over_figures import found_metrics
from fedsim.stages.figures.score_files import (
    BASELINE,
    HEADLINE,
    learns_from,
    made_from,
    read_scores,
)
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.user_level import by_user, scores_by_user
from fedsim.stages.preparation.victim_visibility import (
    attackers_with_audits,
    attackers_without_queries,
)


@dataclass(frozen=True)
class EvaluatedRun:
    """The evaluation results of a run.

    Attributes
    ----------
    experiment, ledger, attackers
        What was run.
    metrics
        What was measured.
    evaluation_results
        By (adversary, query key, attack).
    means
        By (adversary, attack): the mean over that adversary's queries.
    baselines
        The labels of the attacks that serve as baselines.
    known
        The balanced accuracy on the known records, with the keys of `evaluation_results`. It
        decides which attack is shown first: a choice by the evaluation records would be biased.
    missing
        The error of each metric that could not be built.
    headlines
        The labels of the attacks that the headline sentence prefers.
    unseeing
        The attackers that saw none of their victims.
    """

    experiment: Experiment
    ledger: Ledger
    attackers: tuple[Attacker, ...]
    metrics: tuple[Metric, ...]
    evaluation_results: Mapping[tuple[str, str, str], EvaluationResult]
    means: Mapping[tuple[str, str], EvaluationResult]
    baselines: frozenset[str]
    known: Mapping[tuple[str, str, str], float]
    missing: tuple[PluginError, ...] = ()
    headlines: frozenset[str] = frozenset()
    unseeing: tuple[Attacker, ...] = ()
    learns_from: Mapping[str, str] = field(default_factory=dict)


def evaluate_run(run: RunDirectory) -> EvaluatedRun:
    """Evaluate every attack whose scores are in a run directory.

    Attacks of the experiment may be missing, but an attack that scored one query must have scored
    all of them: no row of a table is lost silently.

    Raises
    ------
    RunDirectoryError
        If there are no scores yet, or not of every query.
    FedsimError
        If the experiment, the ledger or the scores are damaged or do not fit each other.
    """
    experiment = read_experiment(run.experiment, plugins_needed=False)
    ledger = read_ledger(run.ledger)
    recorded = recorded_attackers(experiment, run)
    attackers = attackers_with_audits(recorded, ledger)
    found = found_metrics(experiment.metrics)
    metrics = found.metrics
    evaluation_results: dict[tuple[str, str, str], EvaluationResult] = {}
    means: dict[tuple[str, str], EvaluationResult] = {}
    known: dict[tuple[str, str, str], float] = {}
    attacks = _attacks(run, attackers, experiment)
    for attacker in attackers:
        for attack in attacks:
            several = []
            for query in attacker.queries:
                audit = ledger.audit(query)
                scores = read_scores(run.scores(attacker.label, query.key, attack))
                evaluation_result = evaluate_scores(audit, scores, experiment.seed, metrics)
                place = (attacker.label, query.key, attack)
                evaluation_results[place] = evaluation_result
                known[place] = known_accuracy(audit, scores, evaluation_result)
                several.append(evaluation_result)
            means[attacker.label, attack] = (
                several[0]
                if len(several) == 1
                else mean_evaluation_result(several, seed=experiment.seed, metrics=metrics)
            )
    baselines, headlines = (
        frozenset(
            attack
            for who, key, attack in evaluation_results
            if made_from(run.scores(who, key, attack)).get(place)
        )
        for place in (BASELINE, HEADLINE)
    )
    return EvaluatedRun(
        *(experiment, ledger, attackers, metrics, evaluation_results, means, baselines, known),
        missing=found.missing,
        headlines=headlines,
        unseeing=attackers_without_queries(recorded, attackers),
        learns_from=_learns_from(run, evaluation_results),
    )


def _learns_from(run: RunDirectory, scored: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return what each attack learned from, in words, if its scores say so."""
    stated = {attack: learns_from(run.scores(who, key, attack)) for who, key, attack in scored}
    return {attack: words for attack, words in stated.items() if words is not None}


def _attacks(run: RunDirectory, attackers: Sequence[Attacker], experiment: Experiment) -> list[str]:
    """Return the attacks that were made, the experiment's own first.

    Raises
    ------
    RunDirectoryError
        If there are none, or one of them has not scored every query.
    """
    scored = {
        (attacker.label, query.key): {path.stem for path in run.scored(attacker.label, query.key)}
        for attacker in attackers
        for query in attacker.queries
    }
    made = set[str]().union(*scored.values())
    own = [choice.label for choice in experiment.attacks]
    attacks = [label for label in own if label in made] + sorted(made - set(own))
    if not attacks:
        raise RunDirectoryError(f"{run.path} has no scores yet; run `fedsim attack {run.path}`")
    for (who, _), there in scored.items():
        if missing := [label for label in attacks if label not in there]:
            chosen = missing if set(missing) != set(own) else []
            named = "".join(f" --attack {shlex.quote(label)}" for label in chosen)
            raise RunDirectoryError(
                f"{who} has no scores of {listed(missing)} yet; `fedsim attack "
                f"{shlex.quote(str(run.path))}{named}` makes them"
            )
    return attacks


def known_accuracy(audit: AuditSet, scores: Scores, evaluation_result: EvaluationResult) -> float:
    """Return the balanced accuracy on the known records, at the thresholds chosen on them.

    Their scores are out of fold, so that learning from them gives little advantage. Mean over the
    attack's seeds.
    """
    scores, audit = scores_by_user(audit, scores), by_user(audit)
    members = np.isin(scores.records, audit.records[audit.known & audit.member])
    others = np.isin(scores.records, audit.records[audit.known & ~audit.member])
    thresholds = evaluation_result.cases[0].thresholds
    return float(
        np.mean(
            [
                balanced_accuracy(row[members], row[others], float(threshold))
                for row, threshold in zip(scores.scores, thresholds, strict=True)
            ]
        )
    )


def evaluate_scores(
    audit: AuditSet,
    scores: Scores,
    seed: int,
    metrics: Sequence[Metric] | None = None,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Evaluate the scores of an audit set: threshold from known, figures on evaluation records.

    Raises
    ------
    EvaluationError
        If the scores are not those of exactly these records.
    """
    scores, audit = scores_by_user(audit, scores), by_user(audit)
    known = np.isin(scores.records, audit.records[audit.known])
    return evaluate_attack(
        Scores(scores.records[~known], scores.scores[:, ~known]),
        Scores(scores.records[known], scores.scores[:, known]),
        Truth(audit.records[~audit.known], audit.member[~audit.known]),
        Truth(audit.records[audit.known], audit.member[audit.known]),
        seed=seed,
        metrics=metrics,
        resamples=resamples,
    )
