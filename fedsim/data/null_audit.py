"""The null run: an audit in which no participant trains on an audited record.

Members are drawn from the victims' data as usual and count as members, but before training every
audited record is removed from all participants' data and replaced. A figure above guessing then
cannot come from training: its cause is the records, the way they were drawn, or an error.
"""

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.ledger import NEITHER, Ledger
from fedsim.errors import DataError


def null_training_sets(ledger: Ledger, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Return each participant's training set, with audited records replaced by others.

    Replacements are unused records of the pool, of the classes of the removed records as far as
    possible. If there are too few, the training set becomes smaller.

    Raises
    ------
    DataError
        If a participant that had records has none left.
    """
    audited = np.zeros(len(ledger), dtype=np.bool_)
    for roles in ledger.roles.values():
        audited |= roles != NEITHER
    held = ledger.holders_of(range(ledger.participants))
    random = seeds.generator(seed, "null run")
    free = random.permutation(np.flatnonzero(~ledger.test & ~held & ~audited))
    found = []
    for participant, records in enumerate(ledger.training_sets):
        kept, taken = records[~audited[records]], records[audited[records]]
        alike = np.isin(_classes(ledger, free), _classes(ledger, taken))
        chosen = free[np.argsort(~alike, kind="stable")][: len(taken)]
        free = free[~np.isin(free, chosen)]
        if len(records) and not len(kept) + len(chosen):
            raise DataError(
                f"a null run trains on no audited record, and participant {participant} has no "
                "others; give it more records, or lower the sizes of the audit"
            )
        found.append(np.sort(np.concatenate([kept, chosen])))
    return tuple(found)


def _classes(ledger: Ledger, records: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes of records; if labels are not classes, the same number for all."""
    labels = ledger.labels[records]
    if ledger.labels.ndim == 1 and ledger.labels.dtype.kind in "iu":
        return labels.astype(np.int64)
    return np.zeros(len(records), dtype=np.int64)
