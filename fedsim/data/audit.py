"""Drawing the records that an attack is trained and judged on.

Drawn once, before training, from the ledger alone. Exact duplicates are never drawn, nor records
that the attacker itself holds; known and tested records are disjoint.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.ledger import AuditSet, Ledger, MembershipQuery
from fedsim.errors import DataError, listed

NonMembers = Literal["unseen", "others", "both"]


@dataclass(frozen=True)
class AuditSizes:
    """How many records of each kind to draw."""

    known_members: int
    known_nonmembers: int
    tested_members: int
    tested_nonmembers: int


def _unseen(ledger: Ledger, query: MembershipQuery) -> NDArray[np.bool_]:
    """Mark the records in nobody's training set: the rest of the pool, and test records."""
    return ~ledger.holders_of(range(ledger.participants))


def _others(ledger: Ledger, query: MembershipQuery) -> NDArray[np.bool_]:
    """Mark the records in the training set of someone who is neither victim nor attacker."""
    asked = {*query.victims, *query.holders}
    others = [p for p in range(ledger.participants) if p not in asked]
    return ledger.holders_of(others) & ~ledger.holders_of(query.victims)


def _both(ledger: Ledger, query: MembershipQuery) -> NDArray[np.bool_]:
    """Mark every record that is in no victim's training set."""
    return ~ledger.holders_of(query.victims)


NONMEMBERS: Mapping[str, Callable[[Ledger, MembershipQuery], NDArray[np.bool_]]] = {
    "unseen": _unseen,
    "others": _others,
    "both": _both,
}


def draw_audit(
    ledger: Ledger,
    query: MembershipQuery,
    sizes: AuditSizes,
    *,
    nonmembers: NonMembers = "unseen",
    seed: int,
) -> AuditSet:
    """Draw the audit of one query.

    Members are drawn evenly from the union of the victims' training sets.

    Parameters
    ----------
    nonmembers
        ``unseen``: in nobody's training data (the paper's choice); ``others``: in that of a
        participant who is neither victim nor attacker; ``both``: either.

    Raises
    ------
    DataError
        If there are too few candidates (the sentence says how many), or a size is negative.
    """
    if nonmembers not in NONMEMBERS:
        raise DataError(f"there are no non-members {nonmembers!r}; valid: {listed(NONMEMBERS)}")
    allowed = ~ledger.duplicate & ~ledger.holders_of(query.holders)
    members = np.flatnonzero(allowed & ledger.holders_of(query.victims))
    others = np.flatnonzero(allowed & NONMEMBERS[nonmembers](ledger, query))
    random = seeds.generator(seed, "audit", query.key)
    chosen_members, known_members = _drawn(
        members, sizes.known_members, sizes.tested_members, random, f"{query.key}: members"
    )
    chosen_others, known_others = _drawn(
        others,
        sizes.known_nonmembers,
        sizes.tested_nonmembers,
        random,
        f"{query.key}: {nonmembers} non-members",
    )
    records = np.concatenate([chosen_members, chosen_others])
    member = np.arange(len(records)) < len(chosen_members)
    known = np.concatenate([known_members, known_others])
    order = np.argsort(records)
    return AuditSet(records[order], member[order], known[order])


def _drawn(
    candidates: NDArray[np.int64],
    known: int,
    tested: int,
    random: np.random.Generator,
    what: str,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw `known + tested` candidates; the first `known` of them are the known ones."""
    if known < 0 or tested < 0:
        raise DataError(f"audit of {what}: {known} known and {tested} tested must not be negative")
    if known + tested > len(candidates):
        raise DataError(
            f"audit of {what}: {known} known and {tested} tested were asked for, but there are "
            f"only {len(candidates)} candidates (exact duplicates and records that the attacker "
            "holds are none)"
        )
    chosen = random.permutation(candidates)[: known + tested]
    return chosen, np.arange(len(chosen)) < known
