"""Scores and truth with their record ids, and the only function that joins them.

Labels that are shifted by one row against the scores are a typical silent error in membership
inference. Here an array without record ids cannot be evaluated: scores and truth are joined by id,
and an id that is missing, repeated or unknown raises an error that names it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedsim.errors import FedsimError

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class EvaluationError(FedsimError):
    """Scores, truth, or both cannot be evaluated."""


def require_share(value: float, named: str) -> None:
    """Raise `EvaluationError` unless a setting, named with its article, lies within (0, 1).

    >>> require_share(0.01, "an fpr")
    """
    if not 0 < value < 1:
        name = named.split()[-1]
        raise EvaluationError(f"{named} of {value} was given; use 0 < {name} < 1")


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of an attack for each record; higher means member.

    Attributes
    ----------
    records
        Record ids, int64 (n,), without repetition.
    scores
        Finite scores, float64 (seeds, n): one row for each seed of the attack.
    """

    records: Ids
    scores: Floats

    def __init__(self, records: ArrayLike, scores: ArrayLike) -> None:
        ids = _record_ids(records, "the scores")
        values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
        if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] != len(ids):
            raise EvaluationError(
                f"the scores have shape {values.shape}, which does not fit {len(ids)} record ids: "
                "(attack seeds, records) is needed"
            )
        if not (finite := np.isfinite(values).all(axis=0)).all():
            raise EvaluationError(
                f"the scores of {_some(ids[~finite])} are not finite; "
                "every score must be an ordinary number"
            )
        object.__setattr__(self, "records", ids)
        object.__setattr__(self, "scores", values)


@dataclass(frozen=True, eq=False)
class Truth:
    """Which records are members: ids, int64 (n,), and `member`, bool (n,)."""

    records: Ids
    member: Bools

    def __init__(self, records: ArrayLike, member: ArrayLike) -> None:
        ids = _record_ids(records, "the truth")
        flags = np.asarray(member)
        if flags.dtype != np.bool_ or flags.shape != ids.shape:
            raise EvaluationError(
                f"the truth has {len(ids)} record ids but flags of type {flags.dtype} and shape "
                f"{flags.shape}; one true or false a record is needed"
            )
        object.__setattr__(self, "records", ids)
        object.__setattr__(self, "member", flags)


@dataclass(frozen=True, eq=False)
class Joined:
    """Scores joined to the truth, in ascending order of record id.

    Attributes
    ----------
    records, member
        int64 (n,) and bool (n,).
    scores
        float64 (seeds, n).
    """

    records: Ids
    member: Bools
    scores: Floats

    @property
    def seeds(self) -> int:
        """The number of seeds of the attack."""
        return len(self.scores)

    @property
    def members(self) -> int:
        """The number of members."""
        return int(self.member.sum())

    @property
    def nonmembers(self) -> int:
        """The number of non-members."""
        return len(self.member) - self.members

    def split(self) -> list[tuple[Floats, Floats]]:
        """Return, for each seed of the attack, the scores of members and of non-members."""
        return [(row[self.member], row[~self.member]) for row in self.scores]


def join(scores: Scores, truth: Truth, what: str) -> Joined:
    """Join scores to truth by record id.

    Parameters
    ----------
    scores, truth
        Scores and truth of the same set of record ids, in any order.
    what
        The kind of records for error messages, such as ``"tested"``.

    Raises
    ------
    EvaluationError
        If a record of the truth has no score, a scored record has no truth, or a class is empty.
    """
    if (missing := np.setdiff1d(truth.records, scores.records)).size:
        raise EvaluationError(
            f"the {what} scores lack {_some(missing)}; every {what} record must be scored once"
        )
    if (unknown := np.setdiff1d(scores.records, truth.records)).size:
        raise EvaluationError(
            f"the {what} scores hold {_some(unknown)}, not among the {len(truth.records)} {what} "
            "records; only those may be scored"
        )
    by_score, by_truth = np.argsort(scores.records), np.argsort(truth.records)
    joined = Joined(
        scores.records[by_score], truth.member[by_truth], scores.scores[:, by_score].copy()
    )
    if not joined.members or not joined.nonmembers:
        raise EvaluationError(
            f"the {what} records are {joined.members} members and {joined.nonmembers} "
            "non-members; at least one of each is needed"
        )
    return joined


def _record_ids(records: ArrayLike, whose: str) -> Ids:
    """Return ids as int64 (n,); raise `EvaluationError` if they are not valid or not unique."""
    ids = np.asarray(records)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise EvaluationError(
            f"the record ids of {whose} are {ids.dtype} of shape {ids.shape}; "
            "one list of whole numbers is needed"
        )
    ids = ids.astype(np.int64)
    values, counts = np.unique(ids, return_counts=True)
    if (doubled := values[counts > 1]).size:
        raise EvaluationError(
            f"{whose} hold {_some(doubled)} more than once; every record may appear once"
        )
    return ids


def _some(ids: Iterable[int], shown: int = 5) -> str:
    """Return a text with at most `shown` ids: ``"7 records (1, 2, 3, 4, 5, ...)"``."""
    listed = [str(int(number)) for number in ids]
    if len(listed) == 1:
        return f"record {listed[0]}"
    tail = ", ..." if len(listed) > shown else ""
    return f"{len(listed)} records ({', '.join(listed[:shown])}{tail})"
