"""From files of scores to verdicts: the ledger's truth joined to every attack's scores by record.

Needs neither the data set nor the model: the ledger and the scores say it all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedsim.config import Experiment, load_experiment
from fedsim.data import AuditSet, Ledger, read_ledger
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Scores, Truth, Verdict, judge, mean_verdict
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.rundir import RunDirectory
from fedsim.stages.scene import Party, parties_of
from fedsim.stages.scores import made_from, read_scores


@dataclass(frozen=True)
class Judged:
    """The verdicts of a run.

    Attributes
    ----------
    experiment, ledger, parties
        What was run.
    verdicts
        By (adversary, question key, attack).
    means
        By (adversary, attack): the mean over that adversary's questions.
    baselines
        The labels of the attacks that stand for comparison only.
    """

    experiment: Experiment
    ledger: Ledger
    parties: tuple[Party, ...]
    verdicts: Mapping[tuple[str, str, str], Verdict]
    means: Mapping[tuple[str, str], Verdict]
    baselines: frozenset[str]


def judge_run(run: RunDirectory) -> Judged:
    """Judge every attack whose scores are in a run directory.

    Raises
    ------
    RunDirectoryError
        If there are no scores yet.
    FedsimError
        If the experiment, the ledger or the scores are damaged or do not fit each other.
    """
    experiment = load_experiment(run.experiment)
    ledger = read_ledger(run.ledger)
    parties = parties_of(experiment)
    verdicts: dict[tuple[str, str, str], Verdict] = {}
    means: dict[tuple[str, str], Verdict] = {}
    for party in parties:
        for attack in _attacks(run, party, experiment):
            found = {
                question.key: judge_scores(
                    ledger.audit(question),
                    read_scores(run.scores(party.label, question.key, attack)),
                    experiment.seed,
                )
                for question in party.questions
            }
            verdicts |= {(party.label, key, attack): verdict for key, verdict in found.items()}
            several = tuple(found.values())
            means[party.label, attack] = (
                several[0] if len(several) == 1 else mean_verdict(several, seed=experiment.seed)
            )
    if not verdicts:
        raise RunDirectoryError(f"{run.path} has no scores yet; run `fedsim attack {run.path}`")
    baselines = frozenset(
        attack
        for who, key, attack in verdicts
        if made_from(run.scores(who, key, attack)).get("baseline")
    )
    return Judged(experiment, ledger, parties, verdicts, means, baselines)


def _attacks(run: RunDirectory, party: Party, experiment: Experiment) -> list[str]:
    """Return the attacks that have scored every question of a party, the experiment's own first."""
    own = [choice.label for choice in experiment.attacks]
    scored = set.intersection(
        *({path.stem for path in run.scored(party.label, q.key)} for q in party.questions)
    )
    return [label for label in own if label in scored] + sorted(scored - set(own))


def judge_scores(audit: AuditSet, scores: Scores, seed: int, resamples: int = RESAMPLES) -> Verdict:
    """Judge the scores of an audit set: figures on the tested records, threshold on the known.

    Raises
    ------
    EvaluationError
        If the scores are not those of exactly these records.
    """
    known = np.isin(scores.records, audit.records[audit.known])
    return judge(
        Scores(scores.records[~known], scores.scores[:, ~known]),
        Scores(scores.records[known], scores.scores[:, known]),
        Truth(audit.records[~audit.known], audit.member[~audit.known]),
        Truth(audit.records[audit.known], audit.member[audit.known]),
        seed=seed,
        resamples=resamples,
    )
