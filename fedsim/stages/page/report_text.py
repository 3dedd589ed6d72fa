"""The texts of a report page: the sentence at the top, the facts, threat models, cautions."""

from dataclasses import replace

from fedsim.config.choice import HONEST, LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.data import Ledger, MembershipQuery
from fedsim.errors import plural
from fedsim.report.data import AttackFigures
from fedsim.report.results import MEAN, Results
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.evaluate import EvaluatedRun
from fedsim.stages.figures.label_baseline import label_attack, label_separates_members
from fedsim.stages.figures.score_files import overlapping
from fedsim.stages.kept_snapshots import of_snapshots
from fedsim.stages.page.threat_sections import HOLDER
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.federations import federations_of
from fedsim.stages.preparation.idle_participants import idle_participants, number_list

_KIND = {
    ("server", False): "a curious",
    ("server", True): "a dishonest",
    ("participant", False): "a fellow",
    ("participant", True): "a dishonest",
}
_OF_ANY = (
    "An attack that fails proves nothing: a better one may not.",
    "Members and non-members count alike here; where members are rare, the same attacker is right "
    "less often when it says member. Read the TPR at a low FPR.",
)
_OF_A_FEDERATION = (
    "The figures are of this federation: its data, model, rounds and seed; another may leak more.",
    "The intervals are over the audited records; they do not cover training the federation again.",
    *_OF_ANY,
)
_OF_USERS = (
    "Members and non-members are users here: whether any record of a user was trained on. A user's "
    "score is the {} of its records' scores, and figures and intervals are over users."
)
_OF_A_GIVEN_MODEL = (
    "The figures are of this model and of the records in its list; other records may be easier to "
    "tell, and another model may leak more.",
    "The list of members is taken as true: what it says wrongly counts against the attacks.",
    "The intervals are over the audited records; they do not cover training the model again.",
    *_OF_ANY,
)


def findings(evaluated: EvaluatedRun) -> list[AttackFigures]:
    """Return the headline figures of each attacker; labels distinguish those in one position."""
    found = [_finding(attacker, evaluated) for attacker in evaluated.attackers]
    positions = [finding.who for finding in found]
    return [
        replace(finding, who=f"{finding.who} ({attacker.label})")
        if positions.count(finding.who) > 1
        else finding
        for attacker, finding in zip(evaluated.attackers, found, strict=True)
    ]


def _finding(attacker: Attacker, evaluated: EvaluatedRun) -> AttackFigures:
    """Return the headline figures of an attacker's leading attack, first victim only."""
    query, attack = attacker.queries[0], leading_attack(attacker, evaluated)
    accuracy = evaluated.evaluation_results[attacker.label, query.key, attack].accuracy
    label = label_attack(evaluated.experiment, {one: None for _, one in evaluated.means})
    alone = evaluated.evaluation_results.get((attacker.label, query.key, label or ""))
    position = "server" if attacker.participant is None else "participant"
    threat = attacker.threat()
    if of_snapshots(evaluated.experiment):
        who = threat.who
    elif evaluated.experiment.given is not None:
        who = HOLDER
    else:
        who = threat.who if threat.outside else f"{_KIND[position, threat.active]} {position}"
    return AttackFigures(
        *(who, whose(query, evaluated.experiment)),
        *(accuracy.value, accuracy.low, accuracy.high),
        attack,
        label_alone=alone.accuracy.value if alone and label_separates_members(alone) else None,
    )


def leading_attack(attacker: Attacker, evaluated: EvaluatedRun) -> str:
    """Return the leading attack of an attacker: an ensemble if there is one.

    Otherwise, and among several ensembles, the attack that does best on the known records of the
    first victim; a choice by the evaluation records would be biased. Of equal ones, the first.
    """
    query = attacker.queries[0].key
    own = [attack for adversary, attack in evaluated.means if adversary == attacker.label]
    own = [attack for attack in own if attack in evaluated.headlines] or own
    return max(own, key=lambda attack: evaluated.known[attacker.label, query, attack])


def whose(query: MembershipQuery, experiment: Experiment) -> str:
    """Return whose data a query asks about, in words."""
    if experiment.given is not None or experiment.partition.participants == 1:
        return "the model's training data"
    if len(query.victims) == 1:
        return f"participant {query.victims[0]}'s training data"
    if not query.holders:
        return "the participants' training data"
    return "the other participants' training data"


def about(attacker: Attacker) -> str:
    """Return an attacker's first victim for a chart's title, if it has several."""
    if len(attacker.queries) == 1:
        return ""
    return f"first victim: {attacker.queries[0].key.replace('-', ' ')}"


def rounds_seen(run: RunDirectory, evaluated: EvaluatedRun) -> list[tuple[str, str]]:
    """Return the rounds in which a victim was seen, for victims not seen in all of them."""
    experiment, found = evaluated.experiment, []
    for attacker in evaluated.attackers:
        store = attacker.store(experiment, run)
        for query in attacker.queries:
            rounds = [snapshot.round for snapshot in store.series(attacker.closest(query))]
            if set(rounds) != set(experiment.observed_rounds):
                seen = ", ".join(map(str, sorted(rounds))) or "none"
                found.append((f"{attacker.label} saw {query.key.replace('-', ' ')}", seen))
        found += [
            (f"{attacker.label} saw {query.key.replace('-', ' ')}", "none")
            for query in attacker.left_out
        ]
    for attacker in evaluated.unseeing:
        victims = ", ".join(query.key.replace("-", " ") for query in attacker.left_out)
        found.append((f"{attacker.label} saw {victims}", "none"))
    return found


def facts(experiment: Experiment, ledger: Ledger) -> list[tuple[str, str]]:
    """Return the facts of a run as labels and values: data, model, participants, rounds."""
    if experiment.given is not None:
        return [
            ("data", experiment.data.name),
            ("model", f"{experiment.model.name}, trained elsewhere"),
            ("snapshots", str(len(experiment.given.weights))),
        ]
    partition, federation = experiment.partition, experiment.federation
    each = f" x {partition.records:,} records" if partition.records else ""
    idle = idle_participants(ledger.training_sets)
    away = f"; without records, in no round: {number_list(idle)}" if idle else ""
    defended = ", ".join(map(_with_settings, experiment.defences))
    return [
        ("data", experiment.data.name),
        ("model", experiment.model.name),
        ("participants", f"{partition.participants}{each}, {partition.name}{away}"),
        ("rounds", str(federation.rounds)),
        ("strategy", federation.strategy.name),
        *([("defences", defended)] if defended else []),
        ("observed rounds", ", ".join(map(str, experiment.observed_rounds))),
    ]


def _with_settings(choice: LabelledChoice) -> str:
    """Return a choice by its label, with the settings that were given."""
    settings = ", ".join(f"{key} {value}" for key, value in choice.settings.items())
    return f"{choice.label} ({settings})" if settings else choice.label


def utility_of(evaluated: EvaluatedRun) -> str:
    """Return whose model the chart of utility is about: that of the first federation."""
    if evaluated.experiment.given is not None:
        return "the given model"
    name = federations_of(evaluated.attackers)[0].name
    return "the honest federation" if name == HONEST else f"the federation attacked by {name}"


def shown_results(results: Results, experiment: Experiment) -> Results:
    """Return the results with the page's names: an external model has no participants."""
    if experiment.given is None:
        return results
    rows = [
        row.model_copy(update={"victim": "its training data"})
        for row in results.results
        if row.victim != MEAN
    ]
    return results.model_copy(update={"results": tuple(rows)})


def cautions(run: RunDirectory, evaluated: EvaluatedRun) -> tuple[str, ...]:
    """Return what the figures do not prove, a sentence each."""
    given = evaluated.experiment.given is not None
    sentences = _OF_A_GIVEN_MODEL if given else _OF_A_FEDERATION
    if evaluated.ledger.user_score is not None:
        sentences = (_OF_USERS.format(evaluated.ledger.user_score), *sentences)
    return sentences + overlaps(run, evaluated)


def overlaps(run: RunDirectory, evaluated: EvaluatedRun) -> tuple[str, ...]:
    """Return a line for each attack that learned from federations with the real one's records."""
    found: dict[str, int] = {}
    for who, key, attack in evaluated.evaluation_results:
        count = overlapping(run.scores(who, key, attack))
        found[attack] = max(found.get(attack, 0), count)
    return tuple(
        f"{attack}: its own federations share {plural(count, 'record')} with the real one, as the "
        "data set has too few others; an attacker with other data of the same kind may do worse."
        for attack, count in found.items()
        if count
    )
