"""Shadow federations: run by the attacker itself, on other records, to learn what leaks.

Shadow models (Shokri, Stronati, Song and Shmatikov, "Membership inference attacks against machine
learning models", IEEE S&P 2017) for federations: as many participants with as many records, the
same training, and known membership. All queries and all attacks share them.

An attacker in the federation knows the parameters that it began with, so its shadow federations
begin with them too; those of an attacker with the released model alone do not.

Where an attack needs models that have trained on the audited records (`Needs.shadow_targets`), the
victim's stand-in trains on a random half of them, and on the other half in the next federation. The
attacker has the records, all alike: whether one is a member decides nothing in here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import ServerAdversary
from fedsim.attacks import ShadowFederation
from fedsim.data import AuditSizes, Dataset, Ledger, MembershipQuery, draw_audit, partition
from fedsim.data.audit import NonMembers
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.setup import Setup, shuffled_records
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import hidden_audit, view_of
from fedsim.stages.simulate import simulate
from fedsim.stages.simulate_in_step import go_in_step, simulate_in_step, stacked_setup

LABEL = "shadow"
Targets = Mapping[int, NDArray[np.int64]]
"""Audited records that a participant of a shadow federation trains on."""

ShadowFederations = Mapping[tuple[str, str], tuple[ShadowFederation, ...]]
"""By (adversary, query key)."""


class Everything(ServerAdversary):
    """The attacker in its own shadow federation: it keeps what it wants of all messages."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = tuple(SnapshotKey.parse(name) for name in wanted)

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(who="the attacker", sees="everything in a federation of its own")

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from what the attackers of the real federation see."""
        return self.wanted

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep what a participant is sent."""
        self.record(round_number, SnapshotKind.SENT.of(participant), arrays)
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a participant's upload."""
        self.record(round_number, SnapshotKind.UPLOAD.of(participant), arrays)
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the aggregate."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)


def shadows_of(setup: Setup, run: RunDirectory, watcher: Watcher) -> ShadowFederations:
    """Run the shadow federations that the attacks of a setup need; existing ones are kept.

    Raises
    ------
    FedsimError
        If there are too few records for one.
    """
    if setup.experiment.given is not None:
        return {}
    found: dict[tuple[str, str], tuple[ShadowFederation, ...]] = {}
    for outside, targets in product((False, True), (False, True)):
        attackers = [
            attacker for attacker in setup.attackers if attacker.threat().outside == outside
        ]
        needs = [attack.needs for attack in setup.attacks.values()]
        asked = [one.shadow_federations for one in needs if one.shadow_targets == targets]
        count = max(asked, default=0) if attackers else 0
        together = count > 1 and go_in_step(setup)
        drawn = []
        for number in range(count):
            name = f"{'outside' if outside else 'inside'}{'-targets' * targets}-{number}"
            trains_on = _targets(setup, attackers, number) if targets else None
            shadow, overlapping = _shadow_setup(setup, attackers, name, outside, trains_on)
            if overlapping:
                watcher.say(
                    f"shadow federation {name}: {overlapping:,} of its "
                    f"{_drawn(shadow.ledger):,} records "
                    "are the federation's own, as there are too few others"
                )
            place = RunDirectory(run.shadows(name))
            drawn.append((stacked_setup(shadow) if together else shadow, place, overlapping))
            if not together:
                simulate(shadow, place, watcher)
        if together:
            simulate_in_step([(shadow, place) for shadow, place, _ in drawn], watcher)
        for shadow, place, overlapping in drawn:
            for attacker in attackers:
                for query in attacker.queries:
                    made = _shadow(shadow, place, attacker, query, overlapping)
                    if targets:
                        made = replace(made, trained=_trained(setup, shadow.ledger, query))
                    key = (attacker.label, query.key)
                    found[key] = (*found.get(key, ()), made)
    return found


def _shadow(
    shadow: Setup, place: RunDirectory, attacker: Attacker, query: MembershipQuery, overlapping: int
) -> ShadowFederation:
    (everything,) = shadow.attackers
    seen = everything.store(shadow.experiment, place).series(*attacker.answering(query))
    hidden = hidden_audit(shadow, query)
    view = view_of(shadow, place, everything, query, seen, hidden=hidden)
    view = replace(view, adversary=attacker.label)
    return ShadowFederation(view, hidden.audit.member, overlapping, _drawn(shadow.ledger))


def _shadow_setup(
    setup: Setup,
    attackers: Sequence[Attacker],
    name: str,
    outside: bool,
    targets: Targets | None = None,
) -> tuple[Setup, int]:
    """Return a shadow federation's setup, and how many of its records are the real one's own."""
    seed = seeds.derive(
        setup.experiment.seed, "rehearsal", name
    )  # the path decides every draw: it keeps the word
    federation = setup.experiment.federation
    last = federation.evaluation.model_copy(update={"every": federation.rounds})  # none is read
    experiment = setup.experiment.model_copy(
        update={
            "seed": seed,
            "federation": federation.model_copy(update={"evaluation": last}),
            "adversaries": (),
            "attacks": (),
            "audit": setup.experiment.audit.model_copy(update={"null": False}),
            "snapshots": setup.experiment.snapshots.model_copy(update={"keep": "parameters"}),
        }
    )
    queries = tuple(dict.fromkeys(q for attacker in attackers for q in attacker.queries))
    ledger, overlapping = shadow_ledger(setup, queries, seed, targets)
    shadow = build_setup(experiment, None, SILENCE, dataset=setup.dataset, ledger=ledger)
    wanted = sorted({k.name for p in attackers for q in p.queries for k in p.answering(q)})
    attacker = Attacker(LABEL, (Everything(wanted),), queries)
    new_model = shadow.new_model if outside else setup.new_model
    return replace(shadow, attackers=(attacker,), new_model=new_model), overlapping


def _targets(setup: Setup, attackers: Sequence[Attacker], number: int) -> Targets:
    """Return the audited records that stand-ins train on in a shadow federation of this number.

    Half of all: those that the one before it, of an even number, leaves out. A record that several
    queries are about is with the victims of one of them at a time, in turn.
    """
    asked: dict[int, list[MembershipQuery]] = {}
    for query in dict.fromkeys(q for attacker in attackers for q in attacker.queries):
        for record in setup.ledger.audit(query).records.tolist():
            asked.setdefault(record, []).append(query)
    random = seeds.generator(setup.experiment.seed, "targets", number // 2)
    shuffled = random.permutation(np.array(sorted(asked)))
    half = shuffled[number % 2 :: 2]
    found: dict[int, list[int]] = {}
    for record in half.tolist():
        queries = asked[record]
        victims = queries[number // 2 % len(queries)].victims
        found.setdefault(victims[random.integers(len(victims))], []).append(record)
    return {victim: np.array(records) for victim, records in found.items()}


def _trained(setup: Setup, ledger: Ledger, query: MembershipQuery) -> NDArray[np.int8]:
    """Return who trains in a shadow federation on each record of the real view of a query."""
    audit = setup.ledger.audit(query)
    records = audit.records[shuffled_records(setup.experiment.seed, query, len(audit))]
    by_victim = ledger.holders_of(query.victims)[records]
    by_any = ledger.holders_of(range(ledger.participants))[records]
    return np.where(by_victim, 1, np.where(by_any, -1, 0)).astype(np.int8)


def shadow_ledger(
    setup: Setup,
    queries: Sequence[MembershipQuery],
    seed: int,
    targets: Targets | None = None,
) -> tuple[Ledger, int]:
    """Draw who holds which record in a shadow federation, and the records to learn from.

    No training data and no tested record are drawn as long as there are others; then training
    data that are not tested; then any.

    Parameters
    ----------
    setup
        The real one.
    queries
        What is asked in the shadow federation, and of whom.
    seed
        The shadow federation's.
    targets
        Audited records that participants are to train on, in the place of as many of their own; of
        the audited ones, nobody trains on others then.

    Returns
    -------
    The ledger, in which all audited records are known ones, and how many records in it are training
    data or tested in the real federation.
    """
    dataset, sizes = setup.dataset, setup.experiment.audit
    reserved = _reserved(setup)
    cost = reserved + 4 * dataset.duplicate  # a duplicate cannot be audited
    random = seeds.generator(seed, "records")
    trained = int(setup.ledger.holders_of(range(setup.ledger.participants)).sum())
    beside = 0 if sizes.nonmembers == "others" else sizes.known_nonmembers
    wanted = _cheapest(dataset.pool_records, cost, random)[: trained + beside]
    wanted = random.permutation(wanted)  # so that who trains on a record does not go by its cost
    own, nonmembers = wanted[:trained], wanted[trained:]
    spare = _cheapest(dataset.test_records, cost, random)[: beside - len(nonmembers)]
    held = _training_sets(setup, dataset, own, seed)
    if targets is not None:
        held = _with_targets(setup, held, targets, random)
    drawn = np.zeros(len(dataset), dtype=np.bool_)
    drawn[np.concatenate([*held, nonmembers, spare])] = True
    test = dataset.test.copy()
    for records in (targets or {}).values():
        test[records] = False  # a target may be a test record of the real federation
    ledger = Ledger(
        dataset.labels,
        test,
        dataset.duplicate | ~drawn,  # what is not drawn is not audited, as duplicates are not
        held,
    )
    if targets is None:
        learned = AuditSizes(sizes.known_members, sizes.known_nonmembers, 0, 0)
    else:  # what is read of them is on the records of the real federation
        learned = AuditSizes(1, 1, 0, 0)
    beyond: NonMembers = "unseen" if sizes.nonmembers == "label-matched" else sizes.nonmembers
    for query in queries:
        audit = draw_audit(ledger, query, learned, nonmembers=beyond, classes="any", seed=seed)
        ledger = ledger.with_audit(query, audit)
    for records in (targets or {}).values():
        drawn[records] = False
    return ledger, int((reserved[drawn] > 0).sum())


def _with_targets(
    setup: Setup,
    held: Sequence[NDArray[np.int64]],
    targets: Targets,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], ...]:
    """Return training sets in which targets have taken the place of records drawn at random."""
    audited = np.unique(
        np.concatenate([setup.ledger.audit(q).records for a in setup.attackers for q in a.queries])
    )
    found = []
    for participant, records in enumerate(held):
        others = random.permutation(records[~np.isin(records, audited)])
        wanted = targets.get(participant, np.empty(0, dtype=np.int64))[: len(records)]
        found.append(np.sort(np.concatenate([others[: len(records) - len(wanted)], wanted])))
    return tuple(found)


def _reserved(setup: Setup) -> NDArray[np.int64]:
    """Return the cost of drawing each record: 0 nothing, 1 trained on, 2 or more tested."""
    cost = setup.ledger.holders_of(range(setup.ledger.participants)).astype(np.int64)
    for query in dict.fromkeys(q for attacker in setup.attackers for q in attacker.queries):
        audit = setup.ledger.audit(query)
        cost[audit.records[~audit.known]] += 2
    return cost


def _cheapest(
    records: NDArray[np.int64], cost: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return records in random order, the cheap ones first."""
    shuffled = random.permutation(records)
    return shuffled[np.argsort(cost[shuffled], kind="stable")]


def _training_sets(
    setup: Setup, dataset: Dataset, pool: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Partition the records of a pool as those of the real federation are.

    Where participants are users, the pool has not as many of them: sizes are kept alone.
    """
    beside = np.ones(len(dataset), dtype=np.bool_)
    beside[pool] = False
    chosen = setup.experiment.partition
    if "NaturalId" in chosen.name:  # which users there are in a pool is not up to the partition
        sizes = [len(records) for records in setup.ledger.training_sets]
        shuffled = seeds.generator(seed, "natural sizes").permutation(pool)
        ends = np.cumsum(sizes) * len(pool) // sum(sizes)
        return tuple(np.sort(part) for part in np.split(shuffled, ends)[: len(sizes)])
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
    """Return how many records a shadow federation was drawn from."""
    held = ledger.holders_of(range(ledger.participants))
    for roles in ledger.roles.values():
        held = held | (roles > 0)
    return int(held.sum())
