"""Cautions before a run: records that are left out, and non-members of another origin.

Both affect figures without any leakage: a class that no participant trains on identifies its
records as non-members, and the split that a record is from may do so, too.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsim.data.audit import Classes, mark_victim_classes
from fedsim.data.dataset import Dataset
from fedsim.data.ledger import AuditSet, Ledger, MembershipQuery


def left_out_sentence(
    dataset: Dataset,
    training_sets: Sequence[NDArray[np.int64]],
    name: str,
    records: int | None,
) -> str | None:
    """Return a sentence on rows and classes that no participant trains on, if there is a reason.

    Rows are a reason if all rows were to be distributed (fewer than one per participant is a
    remainder), or participants got fewer than `records` each. Classes are always a reason.
    """
    given = np.unique(np.concatenate(training_sets))
    pool = len(dataset.pool_records)
    expected = pool if records is None else min(pool, records * len(training_sets))
    missing = expected - sum(map(len, training_sets))
    labels = dataset.labels
    classes = 0
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        there = np.unique(labels[dataset.pool_records])
        classes = len(np.setdiff1d(there, labels[given]))
    if missing < len(training_sets) and not classes:
        return None
    return (
        f"partition {name}: no participant trains on {pool - len(given):,} of the {pool:,} rows of "
        f"the pool, nor on {classes} of its classes"
    )


def audit_sentences(
    dataset: Dataset, ledger: Ledger, query: MembershipQuery, audit: AuditSet, classes: Classes
) -> Iterator[str]:
    """Yield the cautions about an audit."""
    others = audit.records[~audit.member]
    inside = mark_victim_classes(ledger, query)
    foreign = 0 if inside.all() else len(np.unique(ledger.labels[~inside]))
    if foreign and classes == "victim" and ledger.user_score is None:
        yield (
            f"{query.key}: {foreign} classes that no victim trains on are not among the non-members"
        )
    elif foreign and (count := int((~inside[others]).sum())):
        yield (
            f"{query.key}: {count:,} of {len(others):,} non-members are of classes that no victim "
            "trains on, which the label alone gives away"
        )
    tested = int(ledger.test[others].sum())
    if dataset.own_split and tested:
        yield (
            f"{query.key}: {tested:,} of {len(others):,} non-members are of the data set's own "
            "test split, and no member is; where the splits differ, an attack may tell them apart "
            "(audit.nonmember_source: pool draws both from one)"
        )
