"""What a report page draws: plain figures for its charts, from verdicts, traces and exposure."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Estimate
from fedsim.evaluation.curves import accuracy_by_class, mean_roc, quartiles, score_histogram
from fedsim.report.data import ByClass, Course, Exposure, RocTrace, ScoreHistogram
from fedsim.rundir import RunDirectory
from fedsim.stages.auc_by_round import read_exposure, rounds_alone
from fedsim.stages.evaluate import Judged
from fedsim.stages.report_text import about, leading_attack
from fedsim.stages.score_files import read_trace
from fedsim.stages.setup import Party


def rocs(judged: Judged, called: Callable[[str], str] = str) -> list[RocTrace]:
    """Return the mean ROC of every adversary and attack; `called` names the adversaries."""
    return [
        RocTrace(called(adversary), attack, r.fpr, r.tpr, m.auc.value, attack in judged.baselines)
        for (adversary, attack), m in judged.means.items()
        for r in [mean_roc(m.cases)]
    ]


def histograms(judged: Judged) -> list[ScoreHistogram]:
    """Return the scores of every adversary and attack, of the first victim."""
    victims = {party.label: about(party) for party in judged.parties}
    return [
        ScoreHistogram(
            *(adversary, attack, h.edges, h.members, h.nonmembers),
            baseline=attack in judged.baselines,
            about=victims[adversary],
        )
        for (adversary, attack), mean in judged.means.items()
        for h in [score_histogram(mean.cases[0])]
    ]


def courses(run: RunDirectory, judged: Judged) -> list[Course]:
    """Return the course of every signal that is kept, over the rounds, of the first victims.

    Raises
    ------
    FedsimError
        If a trace is damaged or does not fit the audit.
    """
    return [course for party in judged.parties for course in _courses_of(run, party, judged)]


def by_class(judged: Judged) -> list[ByClass]:
    """Return how the leading attack of each party does on each class, first victim only."""
    found = []
    for party in judged.parties:
        attack, ledger = leading_attack(party, judged), judged.ledger
        verdict = judged.verdicts[party.label, party.questions[0].key, attack]
        classes = accuracy_by_class(verdict.cases[0], np.arange(len(ledger)), ledger.labels)
        found.append(ByClass(party.label, attack, classes, about(party)))
    return found


def exposures(run: RunDirectory, judged: Judged) -> list[Exposure]:
    """Return how exposure grows with the observed rounds, and what each of them tells alone.

    Of the first victim of each party; only where more than one round was observed.

    Raises
    ------
    FedsimError
        If a file of it is damaged or does not fit the audit.
    """
    grown = [one for party in judged.parties for one in _grown(run, party, judged)]
    alone = [one for party in judged.parties for one in _alone(run, party, judged)]
    return [one for one in [*grown, *alone] if len(one.rounds) > 1]


def _courses_of(run: RunDirectory, party: Party, judged: Judged) -> Iterator[Course]:
    question = party.questions[0]
    audit = judged.ledger.audit(question)
    *before, uploaded = party.answering(question)
    # What a victim was sent says something of its own only if it was crafted.
    shown = {uploaded: party.label}
    if party.threat().active:
        shown |= dict.fromkeys(before, f"{party.label}, before local training")
    for owner, path in [(o, p) for o in shown for p in run.traced(party.label, question.key, o)]:
        rounds, values = read_trace(path)
        if values.shape != (len(rounds), len(audit.records)):
            raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
        # Scores are higher for members; a trace is drawn as the signal itself.
        yield Course(
            shown[owner],
            path.stem.replace("-", " "),
            rounds.astype(np.float64),
            quartiles(values[:, audit.member]),
            quartiles(values[:, ~audit.member]),
            about(party),
        )


def _grown(run: RunDirectory, party: Party, judged: Judged) -> Iterator[Exposure]:
    question, seed = party.questions[0], judged.experiment.seed
    audit = judged.ledger.audit(question)
    for adversary, key, attack in judged.verdicts:
        if (adversary, key) == (party.label, question.key):
            paths = run.exposures(adversary, key, attack)
            points = [read_exposure(path, audit, seed) for path in paths]
            if points:
                last = max(judged.experiment.observed_rounds)
                points.append((last, judged.verdicts[adversary, key, attack].auc))
                yield _exposure(adversary, attack, points)


def _alone(run: RunDirectory, party: Party, judged: Judged) -> Iterator[Exposure]:
    question = party.questions[0]
    audit = judged.ledger.audit(question)
    paths: Iterable[Path] = run.traced(party.label, question.key, party.answering(question)[-1])
    for path in paths:
        points = list(rounds_alone(path, audit, judged.experiment.seed))
        yield _exposure(party.label, path.stem, points, alone=True)


def _exposure(
    adversary: str, attack: str, points: list[tuple[int, Estimate]], *, alone: bool = False
) -> Exposure:
    return Exposure(
        adversary,
        attack,
        rounds=[number for number, _ in points],
        auc=[estimate.value for _, estimate in points],
        low=[estimate.low for _, estimate in points],
        high=[estimate.high for _, estimate in points],
        alone=alone,
    )
