"""The second stage: score the audited records by every attack, for every dishonest party.

Reads the ledger and the snapshots; writes features, scores, exposure and traces. Scores that were
made from the same snapshots, audit and settings are kept, so a stopped stage goes on where it was.
With `engine.workers`, cases are scored side by side.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fedsim import plugins, seeds
from fedsim.attacks import Attack, Known, Observation, Traced
from fedsim.config.experiment import LabelledChoice
from fedsim.data import AuditSet, Ledger, Question, read_ledger
from fedsim.digests import digest_of_arrays
from fedsim.engines.parallel_jobs import steps_of
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, PluginError
from fedsim.evaluation import Scores
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.auc_by_round import write_exposure
from fedsim.stages.score_files import OVERLAPPING, up_to_date, write_scores, write_trace
from fedsim.stages.setup import Party, Scene, require_labels
from fedsim.stages.shadow_federations import Rehearsals, rehearsals_of


@dataclass(frozen=True)
class Case:
    """One question that a dishonest party asks, with what it saw and what it knows."""

    party: Party
    question: Question
    audit: AuditSet
    observation: Observation

    @property
    def name(self) -> str:
        """Who asks about whom."""
        return f"{self.party.label}, {self.question.key}"

    @property
    def known(self) -> Known:
        """The known records."""
        return Known(self.audit.records[self.audit.known], self.audit.member[self.audit.known])


def attack(scene: Scene, run: RunDirectory, watcher: Watcher, *, fresh: bool) -> None:
    """Score the audited records of every question by every attack of the scene.

    Parameters
    ----------
    scene, run, watcher
        The experiment, where it lives, and who listens.
    fresh
        Whether to make scores again that are still good.

    Raises
    ------
    FedsimError
        If snapshots are missing or damaged, or an attack's scores cannot be used.
    """
    ledger = read_ledger(run.ledger)
    require_labels(ledger, scene.dataset, run.ledger)
    rehearsals = rehearsals_of(scene, run, watcher)
    cases = list(_cases(scene, run, ledger, rehearsals, watcher))
    jobs = {case.name: partial(_scored, scene, run, case, fresh) for case in cases}
    engine = scene.experiment.engine
    with (
        limited_threads(engine.threads),
        watcher.task("attacks", len(scene.experiment.attacks) * len(cases)) as advance,
        closing(steps_of(jobs, engine.workers, engine.threads, watcher)) as steps,
    ):
        for standing in steps:
            advance(standing)


def _tell_missing(
    snapshots: Sequence[Snapshot], observed: Sequence[int], party: Party, watcher: Watcher
) -> None:
    """Say which observed rounds an adversary did not see: it was not sampled, or a file is gone."""
    missing = sorted(set(observed) - {snapshot.round for snapshot in snapshots})
    if missing:
        rounds = ", ".join(map(str, missing))
        watcher.say(
            f"{party.label} has no snapshot of rounds {rounds}; the attacks go on with the other "
            f"{len(snapshots)}"
        )


def _cases(
    scene: Scene, run: RunDirectory, ledger: Ledger, rehearsals: Rehearsals, watcher: Watcher
) -> Iterator[Case]:
    for party in scene.parties:
        store = party.store(scene.experiment, run)
        for question in party.questions:
            audit = ledger.audit(question)
            also = party.answering_while_acting(question)
            snapshots = store.series(*party.answering(question), also=also)
            main = [s for s in snapshots if s.owner == party.answering(question)[-1]]
            _tell_missing(main, scene.experiment.observed_rounds, party, watcher)
            observation = Observation(
                adversary=party.label,
                question=question,
                snapshots=snapshots,
                new_model=scene.new_model,
                dataset=scene.dataset,
                records=audit.records,
                features=run.features(party.label, question.key),
                rehearsals=rehearsals.get((party.label, question.key), ()),
            )
            yield Case(party, question, audit, observation)


def _scored(
    scene: Scene, run: RunDirectory, case: Case, fresh: bool, watcher: Watcher
) -> Iterator[str]:
    """Score one case by every attack: a job of its own, as its attacks share what is extracted."""
    for choice in scene.experiment.attacks:
        _score(scene, run, watcher, case, choice, fresh)
        yield f"{case.name}: {choice.label}"


def _score(
    scene: Scene,
    run: RunDirectory,
    watcher: Watcher,
    case: Case,
    choice: LabelledChoice,
    fresh: bool,
) -> None:
    attack_ = scene.attacks[choice.label]
    path = run.scores(case.party.label, case.question.key, choice.label)
    count = scene.experiment.audit.attack_seeds if attack_.stochastic else 1
    made_from = {
        "attack": {**plugins.defaults("attacks", choice.name), **choice.model_dump(mode="json")},
        "baseline": attack_.baseline,
        "seed": scene.experiment.seed,
        "seeds": count,
        "audit": digest_of_arrays(case.audit.records, case.audit.member, case.audit.known),
        "snapshots": _stated(case.observation),
    }
    rehearsed = case.observation.rehearsals[: attack_.rehearsals]
    if rehearsed:
        made_from["rehearsals"] = [_stated(one.observation) for one in rehearsed]
        made_from[OVERLAPPING] = sum(one.overlapping for one in rehearsed)
    if not fresh and up_to_date(path, made_from):
        return
    drawn = [seeds.derive(scene.experiment.seed, "attack", choice.label, n) for n in range(count)]
    scores = _scores(case, choice.label, attack_, drawn, watcher)
    if attack_.by_rounds:
        write_exposure(
            run,
            case.observation,
            choice.label,
            lambda seen: _scores(replace(case, observation=seen), choice.label, attack_, drawn),
        )
    if isinstance(attack_, Traced):
        _trace(run, case, choice.label, attack_, watcher)
    write_scores(path, scores, made_from)


def _scores(
    case: Case, label: str, attack_: Attack, drawn: Sequence[int], watcher: Watcher = SILENCE
) -> Scores:
    """Return what an attack says of the audited records, a row for each of its seeds."""
    rows = [
        attack_.score(case.observation, case.known, case.audit.records, seed, watcher)
        for seed in drawn
    ]
    try:
        return Scores(case.audit.records, np.stack(rows))
    except (FedsimError, ValueError, TypeError) as error:
        raise PluginError(f"attack {label} gave scores that cannot be used: {error}") from error


def _trace(run: RunDirectory, case: Case, label: str, attack_: Traced, watcher: Watcher) -> None:
    """Write the course of an attack's signal over the snapshots of each owner."""
    snapshots = case.observation.snapshots
    for owner in dict.fromkeys(snapshot.owner for snapshot in snapshots):
        own = tuple(snapshot for snapshot in snapshots if snapshot.owner == owner)
        write_trace(
            run.traces(case.party.label, case.question.key, owner, label),
            np.array([snapshot.round for snapshot in own]),
            attack_.trace(replace(case.observation, snapshots=own), watcher),
        )


def _stated(observation: Observation) -> list[list[object]]:
    return [[s.round, s.owner, s.digest] for s in observation.snapshots]
