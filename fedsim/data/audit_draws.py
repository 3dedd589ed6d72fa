"""Drawing auxiliary and evaluation records from the candidates of one side of an audit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.data.ledger import Ledger
from fedsim.errors import DataError

NOT_ELIGIBLE = "exact duplicates and records that the attacker holds are none"


Ids = NDArray[np.int64]


Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AuditSizes:
    """The numbers of records (or users) of each kind to draw."""

    known_members: int
    known_nonmembers: int
    tested_members: int
    tested_nonmembers: int


def draw_candidates(
    candidates: Ids,
    known: int,
    tested: int,
    random: np.random.Generator,
    what: str,
    unit: str = NOT_ELIGIBLE,
    *,
    side: str,
) -> tuple[Ids, Mask]:
    """Draw `known + tested` candidates, and mark `known` of them as auxiliary records."""
    if known < 0 or tested < 0:
        raise DataError(f"audit of {what}: {known} known and {tested} tested must not be negative")
    require_candidates(WantedRecords(what, side, known, tested, len(candidates), unit))
    chosen = random.permutation(candidates)[: known + tested]
    return chosen, np.arange(len(chosen)) < known


@dataclass(frozen=True)
class WantedRecords:
    """The numbers of records to draw on one side, and of its candidates."""

    what: str
    side: str
    known: int
    tested: int
    candidates: int
    unit: str = NOT_ELIGIBLE


def require_candidates(*wanted: WantedRecords) -> None:
    """Raise one `DataError` that names every shortage of candidates, with the largest sizes."""
    faults = [
        f"audit of {one.what}: audit.known_{one.side} is {one.known} and audit.tested_{one.side} "
        f"is {one.tested}, but there are only {one.candidates} candidates ({one.unit}); together "
        f"they may be {one.candidates} at most"
        for one in wanted
        if one.known + one.tested > one.candidates
    ]
    if faults:
        raise DataError.of_all(faults)


def draw_label_matched(
    ledger: Ledger,
    candidates: Ids,
    members: tuple[Ids, Mask],
    sizes: AuditSizes,
    random: np.random.Generator,
    what: str,
) -> tuple[Ids, Mask]:
    """Draw auxiliary and evaluation non-members, each in the proportions of members' labels."""
    if ledger.labels.ndim != 1 or ledger.labels.dtype.kind not in "iu":
        raise DataError(f"audit of {what}: labels that are no classes cannot be matched")
    records, known = members
    shuffled = random.permutation(candidates)
    chosen: list[Ids] = []
    for side, count in ((True, sizes.known_nonmembers), (False, sizes.tested_nonmembers)):
        wanted = _in_proportion(ledger.labels[records[known == side]], count)
        picked = []
        for label, number in wanted.items():
            free = shuffled[ledger.labels[shuffled] == label]
            if number > len(free):
                raise DataError(
                    f"audit of {what}: {number} more of class {label} were asked for, but there "
                    f"are only {len(free)} candidates of it; lower audit.known_nonmembers or "
                    "audit.tested_nonmembers"
                )
            picked.append(free[:number])
            shuffled = shuffled[~np.isin(shuffled, free[:number])]
        chosen.append(np.concatenate([np.empty(0, np.int64), *picked]))
    counts = [len(part) for part in chosen]
    return np.concatenate(chosen), np.repeat([True, False], counts)


def _in_proportion(labels: NDArray[np.int64], count: int) -> dict[int, int]:
    """Divide `count` by label in the proportions of `labels` (largest remainder method)."""
    if not len(labels):
        return {}
    values, counts = np.unique(labels, return_counts=True)
    shares = counts * count / len(labels)
    whole = np.floor(shares).astype(int)
    whole[np.argsort(-(shares - whole), kind="stable")[: count - int(whole.sum())]] += 1
    return dict(zip(values.tolist(), whole.tolist(), strict=True))
