"""Drawing the canaries of an audit: from each victim's own records, each kept by a coin.

Canaries are of the victim's data, so that no record but they change hands: one whose coin says so
is left out of everybody's data. Exact copies and records that others hold as well are no canaries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.data import AuditSet, AuditSizes, Ledger, MembershipQuery
from fedsim.errors import DataError, PluginError

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DrawnCanaries:
    """The canaries of a federation.

    Attributes
    ----------
    ledger
        Who trains on what, with the labels of canaries, and which records are canaries.
    owner
        (N,) the victim whose canary a record is, or was before its coin; -1 of other records.
    known
        (N,) whether a record is a canary that the attacker knows.
    """

    ledger: Ledger
    owner: Ids
    known: NDArray[np.bool_]

    def audit(self, query: MembershipQuery) -> AuditSet:
        """Return the audit of a query: the canaries of all its victims.

        Raises
        ------
        DataError
            If among the known or the tested ones nobody is a member, or everybody.
        """
        records = np.flatnonzero(np.isin(self.owner, query.victims))
        member = self.ledger.join(query, records)
        known = self.known[records]
        for what, part in (("known", member[known]), ("tested", member[~known])):
            if not part.any() or part.all():
                raise DataError(
                    f"{query.key}: of {len(part)} {what} canaries, {int(part.sum())} stay in by "
                    f"their coins; both sides are needed: raise audit.{what}_members and "
                    f"audit.{what}_nonmembers"
                )
        return AuditSet(records, member, known)


def draw_canaries(
    ledger: Ledger,
    victims: Sequence[int],
    kinds: Mapping[str, CanaryKind],
    sizes: AuditSizes,
    candidates_of: Callable[[Ids], CandidateRecords],
    seed: int,
) -> DrawnCanaries:
    """Draw every victim's canaries, and toss their coins.

    Parameters
    ----------
    ledger
        Who trains on what before.
    victims
        Whose records become canaries.
    kinds
        By name; each makes an even share.
    sizes
        How many are known, and tested, members and non-members together.
    candidates_of
        What makes candidates of record ids.
    seed
        Of all draws.

    Raises
    ------
    DataError
        If a victim has too few records.
    """
    known_count = sizes.known_members + sizes.known_nonmembers
    total = known_count + sizes.tested_members + sizes.tested_nonmembers
    labels = np.array(ledger.labels)
    kind_of = np.full(len(ledger), "", dtype=object)
    owner = np.full(len(ledger), -1, dtype=np.int64)
    free_of = {victim: _free_records(ledger, victim) for victim in victims}
    if short := [victim for victim, free in free_of.items() if len(free) <= total]:
        raise DataError.of_all(
            [
                f"participant {victim} has {len(free_of[victim])} records that may be canaries (no "
                f"copies, and nobody else's), and the sizes of the audit ask for {total}, with at "
                "least one record beside them; lower audit.known_... and audit.tested_..., or give "
                "it more records"
                for victim in short
            ]
        )
    designed: dict[int, NDArray[np.generic]] = {}
    known, kept = np.zeros(len(ledger), dtype=np.bool_), np.ones(len(ledger), dtype=np.bool_)
    for victim in victims:
        random = seeds.generator(seed, "canaries", str(victim))
        left = free_of[victim]
        drawn = []
        for place, (name, kind) in enumerate(kinds.items()):
            count = total // len(kinds) + (place < total % len(kinds))
            crafted = crafted_canaries(name, kind, candidates_of(left), count, random)
            records = left[crafted.places]
            labels[records], kind_of[records], owner[records] = crafted.labels, name, victim
            if crafted.features is not None:
                designed |= dict(zip(records.tolist(), crafted.features, strict=True))
            left = np.setdiff1d(left, records)
            # Of each kind the same share is known.
            known_here = known_count // len(kinds) + (place < known_count % len(kinds))
            known[random.permutation(records)[:known_here]] = True
            drawn.append(records)
        canaries = np.concatenate(drawn)
        kept[canaries] = random.random(len(canaries)) < 0.5
    return DrawnCanaries(
        replace(
            ledger,
            labels=labels,
            training_sets=tuple(records[kept[records]] for records in ledger.training_sets),
            canaries=kind_of,
            designed=designed,
        ),
        owner,
        known,
    )


def _free_records(ledger: Ledger, victim: int) -> Ids:
    """Return the records that only a victim holds, exact copies aside."""
    others = [p for p in range(ledger.participants) if p != victim]
    free = ledger.holders_of([victim]) & ~ledger.holders_of(others) & ~ledger.duplicate
    return np.flatnonzero(free)


def crafted_canaries(
    name: str,
    kind: CanaryKind,
    candidates: CandidateRecords,
    count: int,
    random: np.random.Generator,
) -> CraftedCanaries:
    """Return what a kind crafts.

    Raises
    ------
    PluginError
        If it fails to craft `count` canaries of the candidates, with labels of the data.
    """
    found = kind.craft(candidates, count, random)
    places = np.asarray(found.places)
    whole = places.dtype.kind in "iu" and places.shape == (count,)
    if not whole or len(np.unique(places)) < count or not _inside(places, len(candidates)):
        raise PluginError(
            f"canaries {name!r} must be {count} places of 0..{len(candidates) - 1}, each once"
        )
    own = np.asarray(candidates.dataset.labels)[places]
    labels = np.asarray(found.labels)
    if labels.shape != own.shape or labels.dtype != own.dtype:
        raise PluginError(
            f"canaries {name!r} gave labels of {labels.dtype} and shape {labels.shape}; the data "
            f"have {own.dtype} and {own.shape}"
        )
    if own.dtype.kind in "iu" and not _inside(labels, candidates.dataset.num_classes):
        raise PluginError(
            f"canaries {name!r} gave a label outside of 0..{candidates.dataset.num_classes - 1}"
        )
    return CraftedCanaries(places.astype(np.int64), labels, _features(name, found, candidates))


def _features(
    name: str, found: CraftedCanaries, candidates: CandidateRecords
) -> NDArray[np.generic] | None:
    """Return the features that a kind gave, if any.

    Raises
    ------
    PluginError
        If they are not of the data's own type and shape, or not finite.
    """
    if found.features is None:
        return None
    features, own = np.asarray(found.features), candidates.dataset.features
    wanted = (len(found.places), *own.shape[1:])
    if features.shape != wanted or features.dtype != own.dtype:
        raise PluginError(
            f"canaries {name!r} gave features of {features.dtype} and shape {features.shape}; the "
            f"data have {own.dtype} and {wanted}"
        )
    if features.dtype.kind == "f" and not np.isfinite(features).all():
        raise PluginError(f"canaries {name!r} gave features that are not finite")
    return features


def _inside(values: NDArray[np.generic], count: int) -> bool:
    return bool(((values >= 0) & (values < count)).all())  # type: ignore[operator]
