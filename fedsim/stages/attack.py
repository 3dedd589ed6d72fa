"""The second stage: score the audited records by every attack, for every attacker.

Reads the ledger and the snapshots; writes features, scores, exposure and traces. Scores from the
same snapshots, audit and settings are reused, so a stopped stage resumes. With `engine.workers`,
queries are scored in parallel.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fedsim import plugins, seeds
from fedsim.attacks import Attack, Reporting, Traced, View
from fedsim.config.choice import LabelledChoice
from fedsim.data import AuditSet, Ledger, MembershipQuery, read_ledger
from fedsim.engines.parallel_jobs import run_jobs
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, PluginError, SnapshotError
from fedsim.evaluation import Scores
from fedsim.files.digests import digest_of_arrays
from fedsim.finding import owned_findings, write_findings
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.auc_by_round import write_exposure
from fedsim.stages.figures.score_files import (
    BASELINE,
    HEADLINE,
    OVERLAPPING,
    up_to_date,
    write_scores,
    write_trace,
)
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.attribute_reset import reset_attributes
from fedsim.stages.preparation.built_plugins import build_attack
from fedsim.stages.preparation.experiment_data import require_labels
from fedsim.stages.preparation.job_order import apart
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.views import HiddenAudit, hidden_audit, view_of
from fedsim.stages.shadow_federations import ShadowFederations, shadows_of


@dataclass(frozen=True)
class AttackJob:
    """A query of an attacker, with its observations and its auxiliary records."""

    attacker: Attacker
    query: MembershipQuery
    audit: AuditSet
    view: View
    hidden: HiddenAudit

    @property
    def name(self) -> str:
        """The attacker and the query, as shown in progress messages."""
        return f"{self.attacker.label}, {self.query.key}"


def attack(setup: Setup, run: RunDirectory, watcher: Watcher, *, fresh: bool) -> None:
    """Score the audited records of every query by every attack of the setup.

    Parameters
    ----------
    setup, run, watcher
        The experiment, where it lives, and the watcher.
    fresh
        Whether to recompute scores that are up to date.

    Raises
    ------
    FedsimError
        If snapshots are missing or damaged, or an attack's scores cannot be used.
    """
    ledger = read_ledger(run.ledger)
    require_labels(ledger, setup.dataset, run.ledger)
    shadows = shadows_of(setup, run, watcher)
    cases = apart(_cases(setup, run, ledger, shadows, watcher), lambda case: case.query.key)
    jobs = {case.name: partial(_scored, setup, run, case, fresh) for case in cases}
    engine = setup.experiment.engine
    with (
        limited_threads(engine.threads),
        watcher.task("attacks", len(setup.experiment.attacks) * len(cases)) as advance,
        closing(run_jobs(jobs, engine.workers, engine.threads, watcher)) as steps,
    ):
        for standing in steps:
            advance(standing)


def _tell_missing(view: View, observed: Sequence[int], watcher: Watcher) -> None:
    """Report the observed rounds without a snapshot: not sampled, or a file is missing."""
    missing = sorted(set(observed) - {snapshot.round for snapshot in view.closest})
    if missing:
        rounds = ", ".join(map(str, missing))
        watcher.say(
            f"{view.adversary} has no snapshot of {view.query.key} in rounds {rounds}; the attacks "
            f"go on with the other {len(view.closest)}"
        )


def _cases(
    setup: Setup, run: RunDirectory, ledger: Ledger, shadows: ShadowFederations, watcher: Watcher
) -> Iterator[AttackJob]:
    # In every round: so that a round's features are extracted once for all attacks.
    needed = tuple(
        attack.needs
        for attack in setup.attacks.values()
        if attack.needs.which != "last" or isinstance(attack, Traced)
    )
    for attacker in setup.attackers:
        store = attacker.store(setup.experiment, run)
        for query in attacker.queries:
            audit = ledger.audit(query)
            seen = _seen(store, attacker, query, setup)
            own = shadows.get((attacker.label, query.key), ())
            hidden = hidden_audit(setup, query)
            view = view_of(setup, run, attacker, query, seen, own, hidden)
            view = replace(view, needed=needed)
            _tell_missing(view, setup.experiment.observed_rounds, watcher)
            yield AttackJob(attacker, query, audit, view, hidden)


def _seen(
    store: SnapshotStore, attacker: Attacker, query: MembershipQuery, setup: Setup
) -> tuple[Snapshot, ...]:
    """Return the snapshots that answer a query.

    Raises
    ------
    SnapshotError
        If a kind of snapshot that the attacker keeps in every observed round is missing.
    """
    answering, experiment = attacker.answering(query), setup.experiment
    required = any(attack.needs.requires_others for attack in setup.attacks.values())
    others = attacker.others(query, experiment) if attacker.reads_others else ()
    seen = store.series(*attacker.seen_keys(query, experiment))
    if required and others and not any(snapshot.key in others for snapshot in seen):
        raise SnapshotError(
            f"an attack reads the uploads of all participants, and {store.folder} has those of the "
            "victims only; simulate the experiment again with this attack in its list, or with "
            "snapshots.participants: all"
        )
    for key in answering:
        if all(snapshot.key != key for snapshot in seen):
            raise SnapshotError(
                f"no snapshot of {key.name} in {store.folder}; run the federation first, or, if it "
                "ran, observe rounds in which its keeper and its sender take part"
            )
    return seen


def _scored(
    setup: Setup, run: RunDirectory, case: AttackJob, fresh: bool, watcher: Watcher
) -> Iterator[str]:
    """Score one query by every attack; one job, because the attacks share extracted features."""
    for choice in setup.experiment.attacks:
        with reset_attributes(type(setup.attacks[choice.label])):
            _score(setup, run, watcher, case, choice, fresh)
        yield f"{case.name}: {choice.label}"


def _score(
    setup: Setup,
    run: RunDirectory,
    watcher: Watcher,
    case: AttackJob,
    choice: LabelledChoice,
    fresh: bool,
) -> None:
    attack_ = build_attack(choice)  # its own for each query: what it keeps, another does not get
    path = run.scores(case.attacker.label, case.query.key, choice.label)
    count = setup.experiment.audit.attack_seeds if attack_.stochastic else 1
    made_from = {
        "attack": {**plugins.defaults("attacks", choice.name), **choice.model_dump(mode="json")},
        BASELINE: attack_.baseline,
        "seed": setup.experiment.seed,
        "seeds": count,
        "audit": digest_of_arrays(case.audit.records, case.audit.member, case.audit.known),
        "snapshots": _stated(case.view.given(attack_.needs)),
        "data": setup.dataset.digest,
        "ids": "shuffled",
        "attack seeds": "the same for every attack",
    }
    if attack_.headline:
        made_from[HEADLINE] = True
    shadowed = case.view.given(attack_.needs).shadows
    if shadowed:
        made_from["shadow federations"] = [_stated(one.view) for one in shadowed]
        made_from[OVERLAPPING] = sum(one.overlapping for one in shadowed)
    if not fresh and up_to_date(path, made_from):
        return
    # The same for every attack, so that one that is made of others finds what they computed.
    drawn = [seeds.derive(setup.experiment.seed, "attack", n) for n in range(count)]
    scores = _scores(case, choice.label, attack_, drawn, watcher)
    if attack_.by_rounds:
        write_exposure(
            run,
            case.view,
            choice.label,
            lambda seen: _scores(replace(case, view=seen), choice.label, attack_, drawn),
        )
    if isinstance(attack_, Traced):
        _trace(run, case, choice.label, attack_, watcher)
    found = run.attack_findings(case.attacker.label, case.query.key, choice.label)
    found.unlink(missing_ok=True)
    if isinstance(attack_, Reporting):
        view = case.view.given(attack_.needs)
        ask = partial(attack_.findings, view, case.hidden.known, watcher)
        owned = owned_findings(ask, case.attacker.label, choice.label, case.query.key)
        write_findings(found, owned)
    write_scores(path, scores, made_from, attack_.needs.knowledge_in_words)


def _scores(
    case: AttackJob, label: str, attack_: Attack, drawn: Sequence[int], watcher: Watcher = SILENCE
) -> Scores:
    """Return an attack's scores of the audited records, a row for each seed."""
    known, candidates = case.hidden.known, case.hidden.audit.records
    if isinstance(attack_, Reporting):  # its findings may be of what it has computed itself
        view = case.view.given(attack_.needs)
        rows = attack_.score_seeds(view, known, candidates, drawn, watcher)
    else:
        rows = attack_.shared_scores(case.view, known, candidates, drawn, watcher)
    try:
        # Of another shape than the records it is refused, and not rearranged.
        Scores(candidates, np.stack(rows))
        return Scores(case.audit.records, case.hidden.revealed(np.stack(rows)))
    except (FedsimError, ValueError, TypeError) as error:
        raise PluginError(f"attack {label} gave scores that cannot be used: {error}") from error


def _trace(
    run: RunDirectory, case: AttackJob, label: str, attack_: Traced, watcher: Watcher
) -> None:
    """Write the course of an attack's signal over the snapshots of each key."""
    for key in dict.fromkeys(snapshot.key for snapshot in case.view.answering):
        view = case.view.keeping([s for s in case.view.answering if s.key == key])
        write_trace(
            run.traces(case.attacker.label, case.query.key, key.name, label),
            np.array([snapshot.round for snapshot in view.seen]),
            case.hidden.revealed(np.asarray(attack_.trace(view, watcher), dtype=np.float64)),
        )


def _stated(view: View) -> list[list[object]]:
    return [[s.round, s.key.name, s.digest] for s in view.seen]
