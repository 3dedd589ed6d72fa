"""From records to users: one score per user, evaluated like the scores of records.

A user is identified by the smallest id of its audited records, so scores and truth are still joined
by record id.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsim.data import AuditSet
from fedsim.evaluation import Scores

AGGREGATIONS = {"mean": np.add, "max": np.maximum}


def by_user(audit: AuditSet) -> AuditSet:
    """Return the audit of a ledger whose users are audited, an entry a user."""
    if audit.users is None:
        return audit
    _, first = np.unique(audit.users, return_index=True)
    order = np.sort(first)
    return AuditSet(audit.records[order], audit.member[order], audit.known[order])


def scores_by_user(audit: AuditSet, scores: Scores) -> Scores:
    """Return the mean or maximum of the scores of each user's records, by `audit.user_score`.

    Scores of records that are not audited are kept: evaluation reports them as an error.
    """
    if audit.users is None or audit.user_score is None:
        return scores
    place = np.searchsorted(audit.records, scores.records)
    place = np.minimum(place, len(audit.records) - 1)
    if len(scores.records) != len(audit) or (audit.records[place] != scores.records).any():
        return scores
    users = audit.users[place]
    order = np.lexsort((scores.records, users))
    starts = np.flatnonzero(np.r_[True, np.diff(users[order]) != 0])
    sums = AGGREGATIONS[audit.user_score].reduceat(scores.scores[:, order], starts, axis=1)
    if audit.user_score == "mean":
        sums = sums / np.diff(np.r_[starts, len(order)])
    records: NDArray[np.int64] = scores.records[order][starts]
    by_id = np.argsort(records)
    return Scores(records[by_id], sums[:, by_id])


def is_a_user_each(
    groups: NDArray[np.int64] | None, training_sets: Sequence[NDArray[np.int64]]
) -> bool:
    """Return whether each participant holds exactly the records of one user.

    Parameters
    ----------
    groups
        The user of every record, shape (N,); None where the data have none.
    training_sets
        The records of each participant.
    """
    if groups is None:
        return False
    users = [np.unique(groups[records]) for records in training_sets if len(records)]
    return all(len(one) == 1 for one in users) and len({int(one[0]) for one in users}) == len(users)
