"""The ledger: the training sets that contain each record, and the records the attacker knows.

It is the only source of truth about membership. Truth is joined by record id, and an id that is
unknown or repeated is an error, so labels cannot silently be shifted against scores.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedsim.data.dataset import Dataset
from fedsim.errors import DataError, listed, shown

NEITHER, KNOWN, TESTED = 0, 1, 2
UserScore = Literal["mean", "max"]


@dataclass(frozen=True)
class MembershipQuery:
    """A membership query: "was the record in the training data of any of the victims?".

    Parameters
    ----------
    key
        A short name, such as ``participant-0`` or ``all-but-3``.
    victims
        The participants whose training data the query is about.
    holders
        Participants whose records the attacker itself holds, and which are therefore not audited.
    """

    key: str
    victims: tuple[int, ...]
    holders: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", self.key) or len(self.key.encode()) > 100:
            raise DataError(
                f"query key {shown(self.key)} must be letters, digits, dots and dashes, at most "
                "100 bytes of them: folders are named by it"
            )
        if not self.victims or len({*self.victims, *self.holders}) < len(
            self.victims + self.holders
        ):
            raise DataError(
                f"query {self.key} needs at least one victim, and no participant twice among "
                f"victims {self.victims} and holders {self.holders}"
            )


def about_participant(victim: int) -> MembershipQuery:
    """Return the query of an attacker who sees a participant's own updates (the server)."""
    return MembershipQuery(key=f"participant-{victim}", victims=(victim,))


def about_all_but(attacker: int, participants: int) -> MembershipQuery:
    """Return the query of a participant who sees only aggregates: about all others together."""
    others = tuple(p for p in range(participants) if p != attacker)
    return MembershipQuery(key=f"all-but-{attacker}", victims=others, holders=(attacker,))


@dataclass(frozen=True, eq=False)
class AuditSet:
    """The records of one query's audit.

    Attributes
    ----------
    records
        Shape (n,), ascending record ids.
    member
        Shape (n,): whether the record is in a victim's training set.
    known
        Shape (n,): True for auxiliary records, whose membership the attacker knows; False for
        evaluation records.
    users, user_score
        If users are audited: shape (n,), the user of each record, and how a user's score is
        computed from the scores of its records. None if records are audited.
    """

    records: NDArray[np.int64]
    member: NDArray[np.bool_]
    known: NDArray[np.bool_]
    users: NDArray[np.int64] | None = None
    user_score: UserScore | None = None

    def __len__(self) -> int:
        """Return the number of auxiliary and evaluation records."""
        return len(self.records)


@dataclass(frozen=True, eq=False)
class Ledger:
    """One row per record, ids 0..N-1.

    Attributes
    ----------
    labels
        Shape (N,), the class; or labels in the form of the objective, (N,) or (N, k).
    test, duplicate
        Shape (N,) each: whether a record is a test record, and whether another record equals it.
    training_sets
        For each participant an ascending array of record ids.
    roles
        By query key, shape (N,) of `NEITHER`, `KNOWN` or `TESTED`.
    groups
        Shape (N,), the number of the record's user; None if the data have no users.
    user_score
        If users are audited, how a user's score is computed from those of its records; else None.
    canaries
        If canaries are audited, shape (N,): the kind of canary, empty for other records. `labels`
        has the labels that were assigned to canaries.
    designed
        The designed features of canaries, as the data set stores them.

    Raises
    ------
    DataError
        If a training set has a record twice, or one that is not in the training pool.
    """

    labels: NDArray[Any]
    test: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    training_sets: tuple[NDArray[np.int64], ...]
    roles: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    user_score: UserScore | None = None
    canaries: NDArray[np.object_] | None = None
    designed: Mapping[int, NDArray[np.generic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for participant, records in enumerate(self.training_sets):
            whose = f"the training set of participant {participant}"
            checked = _checked_records(records, len(self), whose)
            if self.test[checked].any():
                raise DataError(f"{whose} holds test records")

    def __len__(self) -> int:
        """Return N, the number of records."""
        return len(self.labels)

    @property
    def participants(self) -> int:
        """The number of participants."""
        return len(self.training_sets)

    def holders_of(self, participants: Sequence[int]) -> NDArray[np.bool_]:
        """Return for each record, shape (N,), whether any of `participants` trains on it."""
        unknown = [p for p in participants if not 0 <= p < self.participants]
        if unknown:
            raise DataError(
                f"there is no participant {listed(unknown)}; valid: 0..{self.participants - 1}"
            )
        held = np.zeros(len(self), dtype=np.bool_)
        for participant in participants:
            held[self.training_sets[participant]] = True
        return held

    def join(self, query: MembershipQuery, records: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each of `records`, in their order, whether a victim trains on it.

        Raises
        ------
        DataError
            If an id is unknown or occurs twice.
        """
        checked = _checked_records(records, len(self), f"query {query.key}")
        return self.holders_of(query.victims)[checked]

    def with_audit(self, query: MembershipQuery, audit: AuditSet) -> "Ledger":
        """Return this ledger with the roles of one more query.

        Raises
        ------
        DataError
            If the audit and this ledger disagree about members.
        """
        if not np.array_equal(self.join(query, audit.records), audit.member):
            raise DataError(f"the audit of {query.key} contradicts the ledger about members")
        roles = np.full(len(self), NEITHER, dtype=np.int8)
        roles[audit.records] = np.where(audit.known, KNOWN, TESTED)
        return replace(self, roles={**self.roles, query.key: roles})

    def audit(self, query: MembershipQuery) -> AuditSet:
        """Return the audited records of `query`, joined to the truth.

        Raises
        ------
        DataError
            If the ledger has no such query.
        """
        if query.key not in self.roles:
            raise DataError(f"the ledger has no audit of {query.key}; valid: {listed(self.roles)}")
        roles = self.roles[query.key]
        records = np.flatnonzero(roles != NEITHER)
        users = self.groups[records] if self.groups is not None and self.user_score else None
        return AuditSet(
            records, self.join(query, records), roles[records] == KNOWN, users, self.user_score
        )


def new_ledger(
    dataset: Dataset,
    training_sets: Sequence[NDArray[np.int64]],
    user_score: UserScore | None = None,
) -> Ledger:
    """Return the ledger of a federation in which participant p trains on `training_sets[p]`."""
    labels = dataset.labels
    return Ledger(
        labels=labels if labels.ndim <= 2 else labels.reshape(len(labels), -1),
        test=dataset.test,
        duplicate=dataset.duplicate,
        training_sets=tuple(np.sort(records) for records in training_sets),
        groups=dataset.groups,
        user_score=user_score,
    )


def _checked_records(records: NDArray[np.int64], count: int, whose: str) -> NDArray[np.int64]:
    """Return `records` if all are ids of the ledger and none occurs twice; otherwise raise."""
    records = np.asarray(records)
    if records.ndim != 1 or (records.size and records.dtype.kind not in "iu"):
        raise DataError(
            f"{whose}: record ids must be integers with one axis, not {records.dtype} of shape "
            f"{records.shape}"
        )
    records = records.astype(np.int64, copy=False)
    unknown = records[(records < 0) | (records >= count)]
    if unknown.size:
        raise DataError(f"{whose}: there is no record {unknown[0]}; valid: 0..{count - 1}")
    doubled = np.flatnonzero(np.bincount(records, minlength=count) > 1)
    if doubled.size:
        raise DataError(f"{whose}: record {doubled[0]} occurs more than once")
    return records
