"""Attacks that cheat: whatever they read beside features and labels, they stay at guessing.

Test records are at the end of the source and nobody trains on them, so the split, the ids and the
order of the records would tell. Labels are drawn at random and nothing is learned in the one round.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import toys

from fedsim import run
from fedsim.adversary.resources import AttackerResources
from fedsim.attacks import Attack, View
from fedsim.data import MembershipQuery, read_ledger
from fedsim.evaluation.metrics import auc
from fedsim.observation.needs import Needs
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.score_files import read_scores
from fedsim.stages.preparation.attacker_resources import give_resources
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import hidden_audit

KNOWN, TESTED = 40, 150
WIDTH = 4 * ((2 * TESTED + 1) / (12 * TESTED * TESTED)) ** 0.5
"""Four deviations of an AUC that says nothing (Mann and Whitney 1947)."""


class Cheat(Attack):
    """Cheat: read what tells nothing."""

    needs = Needs()

    def score(self, view: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return self.cheat(view, known, candidates).astype(np.float64)

    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        raise NotImplementedError


class BySplit(Cheat):
    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        return ~view.dataset.test[candidates]


class ByPool(Cheat):
    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        return np.isin(candidates, view.dataset.pool_records)


class ById(Cheat):
    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        return -candidates


class ByPlace(Cheat):
    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        return -np.searchsorted(np.sort(view.records), candidates)


class ByNeighbours(Cheat):
    """Say of a record what is known of those that stand beside it."""

    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        distance = np.abs(candidates[:, None] - known.records[None, :])
        own = distance == 0
        weight = np.where(own, 0, 1 / np.maximum(distance, 1))
        return weight @ (known.member * 2.0 - 1)


class ByClassState(Cheat):
    """Remember the truth of one query's known records, on the class, for the next query."""

    seen: ClassVar[dict[bytes, bool]] = {}

    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        rows = {r: view.dataset.features[r].tobytes() for r in candidates.tolist()}
        scores = np.array([self.seen.get(rows[r], 0.5) for r in candidates.tolist()])
        for record, member in zip(known.records.tolist(), known.member.tolist(), strict=True):
            type(self).seen[rows[record]] = member
        return scores


class ByInstanceState(Cheat):
    """Remember it on the instance."""

    def __init__(self) -> None:
        self.seen: dict[bytes, bool] = {}

    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        rows = [view.dataset.features[r].tobytes() for r in candidates.tolist()]
        scores = np.array([self.seen.get(row, 0.5) for row in rows])
        keys = [view.dataset.features[r].tobytes() for r in known.records.tolist()]
        self.seen |= dict(zip(keys, known.member.tolist(), strict=True))
        return scores


class ByFileNames(Cheat):
    def cheat(self, view: View, known: Any, candidates: Any) -> Any:
        names = "".join(sorted(s.path.name for s in view.seen)) + view.features.name
        return np.array([names.count(str(record)) for record in candidates.tolist()])


CHEATS = [one for one in Cheat.__subclasses__()]  # noqa: C416 - as a list that stays as it is
SECTIONS: dict[str, Any] = {
    "data": "toys:with_test_records",
    "partition": {"participants": 3, "records": 250},
    "federation": {"rounds": 1, "local": {"batch_size": 50, "learning_rate": 1e-6, "schedule": {}}},
    "snapshots": {"rounds": [1]},
    "audit": {
        "victims": [0, 1],
        "known_members": KNOWN,
        "known_nonmembers": KNOWN,
        "tested_members": TESTED,
        "tested_nonmembers": TESTED,
        "nonmember_source": "any",
    },
    "adversaries": ["curious-server"],
    "attacks": [f"test_nothing_true:{one.__name__}" for one in CHEATS],
}


@pytest.fixture(scope="module")
def cheated(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("cheated") / "run"
    run(toys.experiment(**SECTIONS), path)
    return RunDirectory(path)


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_cheat_stays_at_guessing(cheated: RunDirectory, cheat: type[Cheat], victim: int) -> None:
    key = f"participant-{victim}"
    audit = read_ledger(cheated.ledger).audit(MembershipQuery(key, (victim,)))
    scores = read_scores(cheated.scores("curious-server", key, cheat.__name__))
    assert scores.records.tolist() == audit.records.tolist()
    values, tested = scores.scores[0], ~audit.known
    area = auc(values[tested & audit.member], values[tested & ~audit.member])
    assert abs(area - 0.5) < WIDTH
    if cheat in (ByClassState, ByInstanceState):
        assert np.ptp(values) == 0


def test_the_cheats_would_have_paid_before() -> None:
    """The split of the source does tell of these records, so that the test is worth something."""
    setup = build_setup(toys.experiment(**SECTIONS), None, SILENCE)
    (query, _) = setup.attackers[0].queries
    audit = setup.ledger.audit(query)
    told = -setup.dataset.test[audit.records].astype(float)
    assert auc(told[audit.member], told[~audit.member]) > 0.7
    assert auc(-audit.records[audit.member], -audit.records[~audit.member]) > 0.7


def arrays_in(thing: object, path: str, seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every array that can be reached from an object through its attributes."""
    if id(thing) in seen or isinstance(thing, str | bytes | Path | type):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield path, thing
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from arrays_in(value, f"{path}[{key!r}]", seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for number, value in enumerate(thing):
            yield from arrays_in(value, f"{path}[{number}]", seen)
    elif dataclasses.is_dataclass(thing) or hasattr(thing, "__dict__"):
        for name, value in vars(thing).items():
            yield from arrays_in(value, f"{path}.{name}", seen)


def test_no_array_within_reach_tells_of_membership() -> None:
    setup = build_setup(toys.experiment(**SECTIONS), None, SILENCE)
    for query in setup.attackers[0].queries:
        hidden = hidden_audit(setup, query)
        tested = ~hidden.audit.known
        for path, array in arrays_in(hidden.dataset, "dataset", set()):
            assert len(array) == len(hidden.audit), path
            column = array.reshape(len(array), -1)[:, 0].astype(float)
            area = auc(column[tested & hidden.audit.member], column[tested & ~hidden.audit.member])
            assert abs(area - 0.5) < WIDTH, path


def test_an_active_adversary_gets_its_targets_alone_and_without_the_split() -> None:
    setup = build_setup(toys.experiment(**SECTIONS), None, SILENCE)
    (attacker,) = setup.attackers
    give_resources(setup, attacker)
    resources = attacker.adversaries[0].resources
    assert isinstance(resources, AttackerResources)
    assert not resources.dataset.test.any()
    audited = [setup.ledger.audit(query).records for query in attacker.queries]
    assert len(resources.dataset) == len(np.unique(np.concatenate(audited)))
    for query, records in zip(attacker.queries, audited, strict=True):
        ours = resources.dataset.batch(resources.targets_of(query))
        theirs = setup.dataset.batch(records)
        assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))
