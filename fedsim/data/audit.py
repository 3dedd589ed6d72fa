"""Drawing the auxiliary and the evaluation records of an audit.

They are drawn once, before training, from the ledger alone. Exact duplicates and records that the
attacker itself holds are never drawn; auxiliary and evaluation records are disjoint. If labels are
classes, non-members have classes of a victim, because the label alone would reveal others.

If users are audited (`Ledger.user_score`), users are drawn with all their records: for a member
those that a victim trains on, for a non-member all. No auxiliary user is evaluated.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from fedsim import seeds
from fedsim.data.audit_draws import (
    NOT_ELIGIBLE,
    AuditSizes,
    Ids,
    Mask,
    WantedRecords,
    draw_candidates,
    draw_label_matched,
    require_candidates,
)
from fedsim.data.ledger import AuditSet, Ledger, MembershipQuery
from fedsim.errors import DataError, listed

NonMembers = Literal["unseen", "others", "both", "label-matched"]
NonMemberSource = Literal["any", "pool"]
Classes = Literal["victim", "any"]


def _unseen(ledger: Ledger, query: MembershipQuery) -> Mask:
    """Mark the records in no participant's training set: unused pool records and test records."""
    return ~ledger.holders_of(range(ledger.participants))


def _others(ledger: Ledger, query: MembershipQuery) -> Mask:
    """Mark the records in training sets of participants who are neither victim nor attacker."""
    asked = {*query.victims, *query.holders}
    others = [p for p in range(ledger.participants) if p not in asked]
    return ledger.holders_of(others) & ~ledger.holders_of(query.victims)


def _both(ledger: Ledger, query: MembershipQuery) -> Mask:
    """Mark every record that is in no victim's training set."""
    return ~ledger.holders_of(query.victims)


NONMEMBERS: Mapping[str, Callable[[Ledger, MembershipQuery], Mask]] = {
    "unseen": _unseen,
    "others": _others,
    "both": _both,
    "label-matched": _unseen,
}


def draw_audit(
    ledger: Ledger,
    query: MembershipQuery,
    sizes: AuditSizes,
    *,
    nonmembers: NonMembers = "unseen",
    source: NonMemberSource = "any",
    classes: Classes = "victim",
    seed: int,
) -> AuditSet:
    """Draw the audit of one query.

    Members are drawn evenly from the union of the victims' training sets.

    Parameters
    ----------
    sizes
        The numbers of records, or of users if the ledger says that users are audited.
    nonmembers
        ``unseen``: in no participant's training data (the paper's choice); ``others``: in the data
        of a participant who is neither victim nor attacker; ``both``: either; ``label-matched``:
        unseen, with labels in the proportions of the members' labels.
    source
        ``any``: also test records; ``pool``: only the training pool, from which members are.
    classes
        ``victim``: non-members have classes that a victim trains on; ``any``: any classes.

    Raises
    ------
    DataError
        If there are too few candidates (the sentence states their number), or a size is negative.
    """
    if nonmembers not in NONMEMBERS:
        raise DataError(f"there are no non-members {nonmembers!r}; valid: {listed(NONMEMBERS)}")
    allowed = ~ledger.duplicate & ~ledger.holders_of(query.holders)
    inside = allowed & ledger.holders_of(query.victims)
    outside = allowed & NONMEMBERS[nonmembers](ledger, query)
    if source == "pool":
        outside &= ~ledger.test
    random = seeds.generator(seed, "audit", query.key)
    what = f"{query.key}: members", f"{query.key}: {nonmembers} non-members"
    if ledger.user_score is not None:
        return _of_users(ledger, query, (inside, outside), sizes, nonmembers, random, what)
    if classes == "victim":
        outside &= mark_victim_classes(ledger, query)
    members, others = np.flatnonzero(inside), np.flatnonzero(outside)
    none = (
        f"{NOT_ELIGIBLE}, nor those of classes that no victim trains on"
        if classes == "victim"
        else NOT_ELIGIBLE
    )
    known, tested = sizes.known_nonmembers, sizes.tested_nonmembers
    wanted = [
        WantedRecords(what[0], "members", sizes.known_members, sizes.tested_members, len(members))
    ]
    if nonmembers != "label-matched":  # shortages of label-matched ones are reported by class
        wanted.append(WantedRecords(what[1], "nonmembers", known, tested, len(others), none))
    require_candidates(*wanted)
    chosen_members, known_members = draw_candidates(
        members,
        sizes.known_members,
        sizes.tested_members,
        random,
        what[0],
        side="members",
    )
    if nonmembers == "label-matched":
        chosen_others, known_others = draw_label_matched(
            ledger, others, (chosen_members, known_members), sizes, random, what[1]
        )
    else:
        chosen_others, known_others = draw_candidates(
            others,
            sizes.known_nonmembers,
            sizes.tested_nonmembers,
            random,
            what[1],
            none,
            side="nonmembers",
        )
    return _audit_set(chosen_members, chosen_others, known_members, known_others)


def mark_victim_classes(ledger: Ledger, query: MembershipQuery) -> Mask:
    """Mark the records of classes that some victim trains on; all if labels are not classes."""
    labels = ledger.labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return np.ones(len(ledger), dtype=np.bool_)
    trained = np.unique(labels[ledger.holders_of(query.victims)])
    found: Mask = np.isin(labels, trained)
    return found


def _audit_set(members: Ids, others: Ids, known_members: Mask, known_others: Mask) -> AuditSet:
    records = np.concatenate([members, others])
    member = np.arange(len(records)) < len(members)
    known = np.concatenate([known_members, known_others])
    order = np.argsort(records)
    return AuditSet(records[order], member[order], known[order])


def _of_users(
    ledger: Ledger,
    query: MembershipQuery,
    sides: tuple[Mask, Mask],
    sizes: AuditSizes,
    nonmembers: NonMembers,
    random: np.random.Generator,
    what: tuple[str, str],
) -> AuditSet:
    """Draw users, and return all their records that may be audited."""
    if ledger.groups is None:
        raise DataError(
            "audit.unit is user, but the data have no users; name a user column in the data set's "
            "settings, or return Arrays with groups"
        )
    if nonmembers == "label-matched":
        raise DataError("audit.nonmembers: label-matched is for audit.unit: record")
    inside, outside = sides
    groups = ledger.groups
    held = np.unique(groups[ledger.holders_of(query.holders)])
    asked = range(ledger.participants) if nonmembers == "unseen" else query.victims
    trained = np.unique(groups[ledger.holders_of(asked)])
    unit = (
        "users; whose records are trained on by a participant asked about, or held by the "
        "attacker, are none"
    )
    candidates = {
        "members": np.setdiff1d(groups[inside], held),
        "nonmembers": np.setdiff1d(groups[outside], np.union1d(held, trained)),
    }
    of_users = [f"users, {one}" for one in what]
    known_nonmembers, tested_nonmembers = sizes.known_nonmembers, sizes.tested_nonmembers
    require_candidates(
        WantedRecords(
            of_users[0],
            "members",
            sizes.known_members,
            sizes.tested_members,
            len(candidates["members"]),
            unit,
        ),
        WantedRecords(
            of_users[1],
            "nonmembers",
            known_nonmembers,
            tested_nonmembers,
            len(candidates["nonmembers"]),
            unit,
        ),
    )
    drawn = []
    for side, mask, known, tested, named in (
        ("members", inside, sizes.known_members, sizes.tested_members, of_users[0]),
        ("nonmembers", outside, known_nonmembers, tested_nonmembers, of_users[1]),
    ):
        users, is_known = draw_candidates(
            candidates[side], known, tested, random, named, unit, side=side
        )
        records = np.flatnonzero(mask & np.isin(groups, users))
        drawn.append((records, np.isin(groups[records], users[is_known])))
    (members, known_members), (others, known_others) = drawn
    return _audit_set(members, others, known_members, known_others)
