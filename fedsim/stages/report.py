"""The third stage: judge the scores, write the figures and the page.

Reads the experiment, the ledger, the history, scores and traces; writes ``results.json`` and
``report.html``.
"""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import numpy as np

from fedsim.config import HONEST, Experiment
from fedsim.data import Question
from fedsim.errors import RunDirectoryError
from fedsim.evaluation.curves import accuracy_by_class, mean_roc, quartiles, score_histogram
from fedsim.federation.rounds import RoundFigures
from fedsim.files import write_text
from fedsim.report.compared import compared_rows, differences
from fedsim.report.data import (
    ByClass,
    Course,
    Finding,
    ReportData,
    RocTrace,
    ScoreHistogram,
    Threat,
    UtilityPoint,
)
from fedsim.report.page import render
from fedsim.report.results import (
    MEAN,
    Result,
    Results,
    ThreatModel,
    Utility,
    result_row,
    write_results,
)
from fedsim.report.words import plural
from fedsim.rundir import RunDirectory
from fedsim.stages.federations import federations_of
from fedsim.stages.judging import Judged, judge_run
from fedsim.stages.plan import StatedThreat, stated_threats
from fedsim.stages.scene import Party
from fedsim.stages.scores import OVERLAPPING, made_from, read_trace
from fedsim.stages.utility import History, cost_of, read_history

_KIND = {
    ("server", False): "a curious",
    ("server", True): "a dishonest",
    ("participant", False): "a fellow",
    ("participant", True): "a dishonest",
}
CAUTIONS = (
    "The figures are of this federation: its data, model, rounds and seed; another may leak more.",
    "An attack that fails proves nothing: a better one may not.",
    "The intervals are over the audited records; they do not cover training the federation again.",
    "Members and non-members are drawn in equal numbers here; where members are rare, the same "
    "attacker is right less often when it says member. Read the TPR at a low FPR.",
)


def report(run: RunDirectory) -> Results:
    """Write ``results.json`` and ``report.html`` of a run, and return the results.

    Raises
    ------
    FedsimError
        If the run was not attacked yet, or its files are damaged.
    """
    judged = judge_run(run)
    # The first is the honest one, where there is one.
    history = read_history(run, federations_of(judged.parties)[0].name)
    results = _results(run, judged, history)
    write_results(run.results, results)
    write_text(run.report, render(_page(run, judged, history, results)))
    return results


def _results(run: RunDirectory, judged: Judged, history: History) -> Results:
    last = history[-1]
    threats = stated_threats(judged.parties, judged.experiment)
    federations = federations_of(judged.parties)
    honest = history if federations[0].name == HONEST else None
    return Results(
        schema_version=1,
        name=run.path.resolve().name,
        utility=Utility(
            train_accuracy=last.train_accuracy or 0.0, test_accuracy=last.test_accuracy or 0.0
        ),
        results=tuple(_rows(judged)),
        threat_models=tuple(_in_words(stated) for stated in threats),
        costs=tuple(cost_of(run, f, honest) for f in federations if f.name != HONEST),
        provenance={"seed": judged.experiment.seed, **_flat_provenance(run)},
    )


def _rows(judged: Judged) -> Iterable[Result]:
    for (adversary, attack), mean in judged.means.items():
        baseline = attack in judged.baselines
        yield result_row(adversary, attack, MEAN, mean, baseline=baseline)
        for (who, key, what), verdict in judged.verdicts.items():
            if (who, what) == (adversary, attack):
                yield result_row(adversary, attack, key, verdict, baseline=baseline)


def _page(run: RunDirectory, judged: Judged, history: History, results: Results) -> ReportData:
    experiment, name = judged.experiment, results.name
    verdicts = {(name, *key): verdict for key, verdict in judged.means.items()}
    paired = differences(verdicts, {name: name}, seed=experiment.seed)
    threats = stated_threats(judged.parties, experiment)
    return ReportData(
        name=name,
        findings=_findings(judged),
        facts=_facts(experiment),
        results=results,
        threats=[
            _placed(party, stated, experiment)
            for party, stated in zip(judged.parties, threats, strict=True)
        ],
        utility=[_point(figures) for figures in history if figures.test_accuracy is not None],
        rocs=[
            RocTrace(
                adversary, attack, roc.fpr, roc.tpr, mean.auc.value, attack in judged.baselines
            )
            for (adversary, attack), mean in judged.means.items()
            for roc in [mean_roc(mean.cases)]
        ],
        histograms=[
            ScoreHistogram(
                adversary, attack, h.edges, h.members, h.nonmembers, attack in judged.baselines
            )
            for (adversary, attack), mean in judged.means.items()
            for h in [score_histogram(mean.cases[0])]
        ],
        courses=[course for party in judged.parties for course in _courses(run, party, judged)],
        config_yaml=run.experiment.read_text(encoding="utf-8"),
        provenance=_provenance(run),
        commands=[_how_it_began(run, experiment), f"fedsim attack {run.path}"],
        cautions=CAUTIONS + _overlaps(run, judged),
        compared=compared_rows({name: results}, paired),
        by_class=[_by_class(party, judged) for party in judged.parties],
    )


def _overlaps(run: RunDirectory, judged: Judged) -> tuple[str, ...]:
    """Return a line for each attack that learned from federations with the real one's records."""
    found: dict[str, int] = {}
    for who, key, attack in judged.verdicts:
        count = made_from(run.scores(who, key, attack)).get(OVERLAPPING, 0)
        found[attack] = max(found.get(attack, 0), count)
    return tuple(
        f"{attack}: its own federations share {plural(count, 'record')} with the real one, as the "
        "data set has too few others; an attacker with other data of the same kind may do worse."
        for attack, count in found.items()
        if count
    )


def _findings(judged: Judged) -> list[Finding]:
    """Return what each party achieves; those in the same seat are told apart by their labels."""
    found = [_finding(party, judged) for party in judged.parties]
    seats = [finding.who for finding in found]
    return [
        replace(finding, who=f"{finding.who} ({party.label})")
        if seats.count(finding.who) > 1
        else finding
        for party, finding in zip(judged.parties, found, strict=True)
    ]


def _finding(party: Party, judged: Judged) -> Finding:
    """Return what a party's strongest attack that is no baseline achieves, first victim only."""
    question, attack = party.questions[0], _leading_attack(party, judged)
    accuracy = judged.verdicts[party.label, question.key, attack].accuracy
    seat = "server" if party.participant is None else "participant"
    threat = party.threat()
    who = threat.who if threat.outside else f"{_KIND[seat, threat.active]} {seat}"
    return Finding(
        who, _whose(question, judged.experiment), accuracy.value, accuracy.low, accuracy.high
    )


def _leading_attack(party: Party, judged: Judged) -> str:
    own = [attack for adversary, attack in judged.means if adversary == party.label]
    return next((attack for attack in own if attack not in judged.baselines), own[0])


def _whose(question: Question, experiment: Experiment) -> str:
    if experiment.partition.participants == 1:
        return "the model's training data"
    if len(question.victims) == 1:
        return f"participant {question.victims[0]}'s training data"
    return "the other participants' training data"


def _how_it_began(run: RunDirectory, experiment: Experiment) -> str:
    """Return the command that makes the run once more."""
    if experiment.given is None:
        return f"fedsim run {run.path}/experiment.yaml --out {run.path}-again"
    said = _provenance(run).get("command")
    return shlex.join(map(str, said)) if isinstance(said, list) else "fedsim attack --model ..."


def _facts(experiment: Experiment) -> list[tuple[str, str]]:
    if experiment.given is not None:
        return [
            ("data", experiment.data.name),
            ("model", f"{experiment.model.name}, trained elsewhere"),
            ("snapshots", str(len(experiment.given.weights))),
        ]
    partition, federation = experiment.partition, experiment.federation
    each = f" x {partition.records:,} records" if partition.records else ""
    return [
        ("data", experiment.data.name),
        ("model", experiment.model.name),
        ("participants", f"{partition.participants}{each}, {partition.name}"),
        ("rounds", str(federation.rounds)),
        ("strategy", federation.strategy.name),
        ("observed rounds", ", ".join(map(str, experiment.observed_rounds))),
    ]


def _in_words(stated: StatedThreat) -> ThreatModel:
    threat = stated.threat
    return ThreatModel(
        adversary=stated.adversary,
        who=threat.who,
        sees=threat.sees,
        does=threat.does,
        knows=stated.knows,
    )


def _placed(party: Party, stated: StatedThreat, experiment: Experiment) -> Threat:
    return Threat(
        words=_in_words(stated),
        position="server" if party.participant is None else "participant",
        participants=experiment.partition.participants,
        victims=tuple(sorted({v for question in party.questions for v in question.victims})),
        participant=party.participant,
        active=stated.threat.active,
    )


def _point(figures: RoundFigures) -> UtilityPoint:
    return UtilityPoint(**{f.name: getattr(figures, f.name) for f in fields(UtilityPoint)})


def _courses(run: RunDirectory, party: Party, judged: Judged) -> Iterable[Course]:
    question = party.questions[0]
    audit = judged.ledger.audit(question)
    *before, uploaded = party.answering(question)
    # What a victim was sent says something of its own only if it was crafted.
    shown = {uploaded: party.label}
    if party.threat().active:
        shown |= dict.fromkeys(before, f"{party.label}, before local training")
    traces = [(o, path) for o in shown for path in run.traced(party.label, question.key, o)]
    for owner, path in traces:
        rounds, values = read_trace(path)
        if values.shape != (len(rounds), len(audit.records)):
            raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
        # Scores are higher for members; a trace is drawn as the signal itself.
        yield Course(
            shown[owner],
            path.stem,
            rounds.astype(np.float64),
            quartiles(values[:, audit.member]),
            quartiles(values[:, ~audit.member]),
        )


def _by_class(party: Party, judged: Judged) -> ByClass:
    question, attack = party.questions[0], _leading_attack(party, judged)
    verdict = judged.verdicts[party.label, question.key, attack]
    ledger = judged.ledger
    classes = accuracy_by_class(verdict.cases[0], np.arange(len(ledger)), ledger.labels)
    return ByClass(party.label, attack, classes)


def _provenance(run: RunDirectory) -> Mapping[str, object]:
    try:
        found = json.loads(run.provenance.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat_provenance(run: RunDirectory) -> dict[str, str | int | float | bool | None]:
    found = _provenance(run)
    versions = found.get("versions")
    named = versions if isinstance(versions, dict) else {}
    return {"commit": str(found.get("commit"))} | {f"{k} version": v for k, v in named.items()}
