"""What a report page says in words: the sentence at the top, the facts, threat models, cautions."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from fedsim.config import Experiment
from fedsim.data import Question
from fedsim.report.data import Finding, Threat
from fedsim.report.results import ThreatModel
from fedsim.report.words import plural
from fedsim.rundir import RunDirectory
from fedsim.stages.judging import Judged
from fedsim.stages.plan import StatedThreat
from fedsim.stages.scene import Party
from fedsim.stages.scores import overlapping

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


def findings(judged: Judged) -> list[Finding]:
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
    question, attack = party.questions[0], leading_attack(party, judged)
    accuracy = judged.verdicts[party.label, question.key, attack].accuracy
    seat = "server" if party.participant is None else "participant"
    threat = party.threat()
    who = threat.who if threat.outside else f"{_KIND[seat, threat.active]} {seat}"
    return Finding(
        who, whose(question, judged.experiment), accuracy.value, accuracy.low, accuracy.high
    )


def leading_attack(party: Party, judged: Judged) -> str:
    """Return the first attack of a party that is no baseline, or its first of all."""
    own = [attack for adversary, attack in judged.means if adversary == party.label]
    return next((attack for attack in own if attack not in judged.baselines), own[0])


def whose(question: Question, experiment: Experiment) -> str:
    """Return whose data a question asks about, as a sentence calls them."""
    if experiment.partition.participants == 1:
        return "the model's training data"
    if len(question.victims) == 1:
        return f"participant {question.victims[0]}'s training data"
    return "the other participants' training data"


def facts(experiment: Experiment) -> list[tuple[str, str]]:
    """Return what frames a run, label and value."""
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


def in_words(stated: StatedThreat) -> ThreatModel:
    """Return a threat model as the results file has it."""
    threat = stated.threat
    return ThreatModel(
        adversary=stated.adversary,
        who=threat.who,
        sees=threat.sees,
        does=threat.does,
        knows=stated.knows,
    )


def placed(party: Party, stated: StatedThreat, experiment: Experiment) -> Threat:
    """Return a threat model for the diagram of who sees what."""
    inside: Literal["server", "participant"] = (
        "server" if party.participant is None else "participant"
    )
    return Threat(
        words=in_words(stated),
        position="outside" if stated.threat.outside else inside,
        participants=experiment.partition.participants,
        victims=tuple(sorted({v for question in party.questions for v in question.victims})),
        participant=party.participant,
        active=stated.threat.active,
    )


def overlaps(run: RunDirectory, judged: Judged) -> tuple[str, ...]:
    """Return a line for each attack that learned from federations with the real one's records."""
    found: dict[str, int] = {}
    for who, key, attack in judged.verdicts:
        count = overlapping(run.scores(who, key, attack))
        found[attack] = max(found.get(attack, 0), count)
    return tuple(
        f"{attack}: its own federations share {plural(count, 'record')} with the real one, as the "
        "data set has too few others; an attacker with other data of the same kind may do worse."
        for attack, count in found.items()
        if count
    )


def commands(name: str, experiment: Experiment, provenance: Mapping[str, object]) -> list[str]:
    """Return how to make a run again, without the folders of the machine that made it."""
    run, own, again = map(shlex.quote, (name, f"{name}/experiment.yaml", f"{name}-again"))
    data = " --data-dir DIR" if provenance.get("data_dir") else ""
    if experiment.given is None:
        first = f"fedsim run {own} --out {again}{data}"
    else:
        first = _without_folders(provenance.get("command"))
    return [first, f"fedsim attack {run}{data}", f"fedsim report {run}"]


def _without_folders(command: object) -> str:
    """Return a command, its absolute paths cut to their last part."""
    if not isinstance(command, list):
        return "fedsim attack --model ..."
    words = map(str, command)
    return shlex.join(Path(w).name if Path(w).is_absolute() else w for w in words)
