"""Which records a shadow federation is drawn from, and who trains on which in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data import AuditSizes, Dataset, Ledger, MembershipQuery, draw_audit, partition
from fedsim.data.audit import NonMembers
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.setup import Setup, shuffled_records

Targets = Mapping[int, NDArray[np.int64]]
"""Audited records that a participant of a shadow federation trains on."""


def targets_of(setup: Setup, attackers: Sequence[Attacker], number: int) -> Targets:
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


def trained_on(setup: Setup, ledger: Ledger, query: MembershipQuery) -> NDArray[np.int8]:
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
    """Draw the training sets of a shadow federation, and the records to learn from.

    Records that are neither training data nor evaluation records come first, then training data
    that are not evaluated, then any.

    Parameters
    ----------
    setup
        The real one.
    queries
        The queries of the shadow federation.
    seed
        The shadow federation's.
    targets
        Audited records that participants are to train on, in the place of as many of their own; of
        the audited ones, nobody trains on others then.

    Returns
    -------
    The ledger, whose audited records are all known, and how many of its records are training data
    or evaluation records of the real federation.
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
    """Return the cost of drawing each record: 0 unused, 1 trained on, 2 or more evaluated."""
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

    Where each participant is a user, the pool has too few users: only the sizes are kept.
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


def drawn_records(ledger: Ledger) -> int:
    """Return how many records a shadow federation was drawn from."""
    held = ledger.holders_of(range(ledger.participants))
    for roles in ledger.roles.values():
        held = held | (roles > 0)
    return int(held.sum())
