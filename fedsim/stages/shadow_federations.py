"""Rehearsals: federations that the attacker runs itself, on other records, to learn what leaks.

Shadow models (Shokri, Stronati, Song and Shmatikov, "Membership inference attacks against machine
learning models", IEEE S&P 2017) for federations: as many participants with as many records, the
same training, and known membership. All questions and all attacks share them.

Whoever sits in the federation knows the parameters that it began with, so its rehearsals begin with
them too; whoever holds only the released model does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import ServerAdversary
from fedsim.attacks import Observation, Rehearsal
from fedsim.data import AuditSizes, Dataset, Ledger, Question, draw_audit, partition
from fedsim.observation.snapshots import AGGREGATE, participant_owner, sent_owner
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.setup import Party, Scene, set_scene
from fedsim.stages.simulate import simulate

LABEL = "rehearsal"
Rehearsals = Mapping[tuple[str, str], tuple[Rehearsal, ...]]
"""By (adversary, question key)."""


class Everything(ServerAdversary):
    """Whoever runs a federation alone: it keeps whatever it wants of what is sent in it."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = tuple(wanted)

    def threat(self) -> Threat:
        """Return the threat model in words."""
        return Threat(who="the attacker", sees="everything in a federation of its own")

    def owners(self, question: Question) -> tuple[str, ...]:
        """Answer from what the dishonest parties of the real federation see."""
        return self.wanted

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep what a participant is sent."""
        self.record(round_number, sent_owner(participant), arrays)
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a participant's upload."""
        self.record(round_number, participant_owner(participant), arrays)
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the aggregate."""
        self.record(round_number, AGGREGATE, arrays)


def rehearsals_of(scene: Scene, run: RunDirectory, watcher: Watcher) -> Rehearsals:
    """Run the rehearsals that the attacks of a scene ask for; those that are there are kept.

    Raises
    ------
    FedsimError
        If there are too few records for one.
    """
    count = max((attack.rehearsals for attack in scene.attacks.values()), default=0)
    if scene.experiment.given is not None:
        return {}
    found: dict[tuple[str, str], tuple[Rehearsal, ...]] = {}
    for outside in (False, True):
        parties = [party for party in scene.parties if party.threat().outside == outside]
        for number in range(count if parties else 0):
            name = f"{'outside' if outside else 'inside'}-{number}"
            shadow, overlapping = _shadow_scene(scene, parties, name, outside)
            if overlapping:
                watcher.say(
                    f"rehearsal {name}: {overlapping:,} of its {_drawn(shadow.ledger):,} records "
                    "are the federation's own, as there are too few others"
                )
            place = RunDirectory(run.shadows(name))
            simulate(shadow, place, watcher)
            for party in parties:
                for question in party.questions:
                    made = _rehearsal(shadow, place, party, question, overlapping)
                    key = (party.label, question.key)
                    found[key] = (*found.get(key, ()), made)
    return found


def _rehearsal(
    shadow: Scene, place: RunDirectory, party: Party, question: Question, overlapping: int
) -> Rehearsal:
    audit = shadow.ledger.audit(question)
    (everything,) = shadow.parties
    store = everything.store(shadow.experiment, place)
    observation = Observation(
        adversary=party.label,
        question=question,
        snapshots=store.series(*party.answering(question)),
        new_model=shadow.new_model,
        dataset=shadow.dataset,
        records=audit.records,
        features=place.features(LABEL, question.key),
    )
    return Rehearsal(observation, audit.member, overlapping, _drawn(shadow.ledger))


def _shadow_scene(
    scene: Scene, parties: Sequence[Party], name: str, outside: bool
) -> tuple[Scene, int]:
    """Return the scene of a rehearsal, and how many of its records are the federation's own."""
    seed = seeds.derive(scene.experiment.seed, "rehearsal", name)
    experiment = scene.experiment.model_copy(
        update={"seed": seed, "adversaries": (), "attacks": ()}
    )
    questions = tuple(dict.fromkeys(q for party in parties for q in party.questions))
    ledger, overlapping = shadow_ledger(scene, questions, seed)
    shadow = set_scene(experiment, None, SILENCE, dataset=scene.dataset, ledger=ledger)
    owners = sorted({o for p in parties for q in p.questions for o in p.answering(q)})
    attacker = Party(LABEL, (Everything(owners),), questions)
    new_model = shadow.new_model if outside else scene.new_model
    return replace(shadow, parties=(attacker,), new_model=new_model), overlapping


def shadow_ledger(scene: Scene, questions: Sequence[Question], seed: int) -> tuple[Ledger, int]:
    """Draw who holds which record in a rehearsal, and the records to learn from.

    Nobody's training data and no tested record are drawn as long as there are others; then training
    data that are not tested; then any.

    Parameters
    ----------
    scene
        The real one.
    questions
        What is asked in the rehearsal, and of whom.
    seed
        The rehearsal's.

    Returns
    -------
    The ledger, in which all audited records are known ones, and how many records in it are training
    data or tested in the real federation.
    """
    dataset, sizes = scene.dataset, scene.experiment.audit
    reserved = _reserved(scene)
    cost = reserved + 4 * dataset.duplicate  # a duplicate cannot be audited
    random = seeds.generator(seed, "records")
    trained = int(scene.ledger.holders_of(range(scene.ledger.participants)).sum())
    beside = 0 if sizes.nonmembers == "others" else sizes.known_nonmembers
    wanted = _cheapest(dataset.pool_records, cost, random)[: trained + beside]
    wanted = random.permutation(wanted)  # so that who trains on a record does not go by its cost
    own, strangers = wanted[:trained], wanted[trained:]
    spare = _cheapest(dataset.test_records, cost, random)[: beside - len(strangers)]
    drawn = np.zeros(len(dataset), dtype=np.bool_)
    drawn[np.concatenate([own, strangers, spare])] = True
    ledger = Ledger(
        dataset.labels,
        dataset.test,
        dataset.duplicate | ~drawn,  # what is not drawn is not audited, as duplicates are not
        _training_sets(scene, dataset, own, seed),
    )
    learned = AuditSizes(sizes.known_members, sizes.known_nonmembers, 0, 0)
    for question in questions:
        audit = draw_audit(ledger, question, learned, nonmembers=sizes.nonmembers, seed=seed)
        ledger = ledger.with_audit(question, audit)
    return ledger, int((reserved[drawn] > 0).sum())


def _reserved(scene: Scene) -> NDArray[np.int64]:
    """Return what it costs to rehearse with a record: 0 nothing, 1 trained on, 2 or more tested."""
    cost = scene.ledger.holders_of(range(scene.ledger.participants)).astype(np.int64)
    for question in dict.fromkeys(q for party in scene.parties for q in party.questions):
        audit = scene.ledger.audit(question)
        cost[audit.records[~audit.known]] += 2
    return cost


def _cheapest(
    records: NDArray[np.int64], cost: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return records in random order, the cheap ones first."""
    shuffled = random.permutation(records)
    return shuffled[np.argsort(cost[shuffled], kind="stable")]


def _training_sets(
    scene: Scene, dataset: Dataset, pool: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Partition the records of a pool as those of the real federation are."""
    beside = np.ones(len(dataset), dtype=np.bool_)
    beside[pool] = False
    chosen = scene.experiment.partition
    drawn = partition(
        replace(dataset, test=beside),
        chosen.name,
        participants=chosen.participants,
        records=chosen.records,
        settings=chosen.settings,
        seed=seed,
    )
    return tuple(np.sort(records) for records in drawn)


def _drawn(ledger: Ledger) -> int:
    """Return how many records a rehearsal was drawn from."""
    held = ledger.holders_of(range(ledger.participants))
    for roles in ledger.roles.values():
        held = held | (roles > 0)
    return int(held.sum())
