"""A view is asked by what snapshots are of; no order, name or place in a tuple decides anything."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.data import MembershipQuery, about_all_but, about_participant
from fedsim.errors import SnapshotError
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.view import View

AGGREGATE, CLEAN = SnapshotKind.AGGREGATE.of(), SnapshotKind.CLEAN.of()
INTENDED, SENT, UPLOAD = (
    kind.of for kind in (SnapshotKind.INTENDED, SnapshotKind.SENT, SnapshotKind.UPLOAD)
)


def view(*seen: tuple[int, SnapshotKey], about: MembershipQuery | None = None) -> View:
    """Return a view of snapshots as a store hands them over: by round and key."""
    nothing: Any = None
    snapshots = [Snapshot(Path("x"), number, key) for number, key in sorted(seen)]
    asked = about or about_participant(2)
    return View("a", asked, tuple(snapshots), nothing, nothing, np.arange(3), Path())


def told(snapshots: Any) -> list[tuple[int, str]]:
    return [(s.round, s.key.name) for s in snapshots]


def test_names_and_keys_are_one_to_one() -> None:
    keys = [AGGREGATE, CLEAN, INTENDED(0), SENT(7), UPLOAD(12)]
    names = ["aggregate", "clean", "meant-0", "sent-7", "participant-12"]
    assert [key.name for key in keys] == names
    assert [SnapshotKey.parse(name) for name in names] == keys


@pytest.mark.parametrize(
    "name", ["", "../up", "Aggregate", "participant_1", "a/b", "server-x", "sent", "clean-1", "x-1"]
)
def test_a_name_that_stands_for_nothing_is_refused(name: str) -> None:
    with pytest.raises(SnapshotError, match="is not the name of a snapshot; valid: aggregate, cl"):
        SnapshotKey.parse(name)


def test_a_kind_has_a_participant_or_none() -> None:
    with pytest.raises(SnapshotError, match="UPLOAD needs the number of a participant, not None"):
        SnapshotKind.UPLOAD.of()
    with pytest.raises(SnapshotError, match="needs the number of a participant, not -1"):
        SnapshotKind.SENT.of(-1)
    with pytest.raises(SnapshotError, match="AGGREGATE needs no participant, not 3"):
        SnapshotKind.AGGREGATE.of(3)


def test_within_a_round_the_upload_comes_last() -> None:
    keys = [UPLOAD(0), SENT(0), AGGREGATE, INTENDED(0), CLEAN]
    for order in itertools.permutations(keys):
        assert sorted(order) == [CLEAN, AGGREGATE, INTENDED(0), SENT(0), UPLOAD(0)]


def test_snapshots_are_asked_for_by_kind_participant_and_round() -> None:
    seen = view((1, SENT(2)), (1, UPLOAD(2)), (1, UPLOAD(0)), (4, UPLOAD(2)), (4, AGGREGATE))
    assert told(seen.snapshots(SnapshotKind.UPLOAD, 2)) == [
        (1, "participant-2"),
        (4, "participant-2"),
    ]
    assert told(seen.snapshots(participant=2, rounds={1})) == [(1, "sent-2"), (1, "participant-2")]
    assert told(seen.snapshots(SnapshotKind.CLEAN)) == []
    assert seen.snapshots() == seen.seen


def test_the_victim_and_the_others() -> None:
    seen = view((1, UPLOAD(2)), (1, UPLOAD(0)), (2, UPLOAD(5)), (2, SENT(3)))
    assert seen.victim == 2
    assert seen.others == (0, 5)
    assert told(seen.answering) == [(1, "participant-2")]
    together = view((1, AGGREGATE), about=about_all_but(1, 3))
    assert together.victim is None
    assert together.others == ()


def test_sent_and_returned_are_paired_by_round_and_participant() -> None:
    mine, sent = UPLOAD(2), SENT(2)
    seen = view((1, mine), (3, mine), (3, sent), (5, sent), (6, sent), (6, mine))
    assert [told(pair) for pair in seen.changes] == [
        [(3, "sent-2"), (3, "participant-2")],
        [(6, "sent-2"), (6, "participant-2")],
    ]
    assert told(seen.trained) == [(r, "participant-2") for r in (1, 3, 6)]
    others = view((1, SENT(1)), (1, mine), (1, AGGREGATE))
    assert others.changes == ()
    assert told(others.trained) == [(1, "aggregate"), (1, "participant-2")]
    assert told(others.closest) == [(1, "participant-2")]


def test_only_the_clean_aggregate_is_trained() -> None:
    seen = view((1, AGGREGATE), (2, CLEAN), (2, AGGREGATE), (3, AGGREGATE))
    assert told(seen.trained) == [(1, "aggregate"), (2, "clean"), (3, "aggregate")]
    assert seen.closest == seen.trained
    assert seen.changes == ()


def test_what_was_meant_was_sent_and_what_was_sent_was_returned() -> None:
    kinds = (INTENDED, SENT, UPLOAD)
    seen = view(*((r, kind(2)) for r in (1, 2) for kind in kinds))
    pairs = [[s.kind for s in pair] for pair in seen.changes]
    steps = [
        [SnapshotKind.INTENDED, SnapshotKind.SENT],
        [SnapshotKind.SENT, SnapshotKind.UPLOAD],
    ]
    assert pairs == steps * 2
    assert told(seen.trained) == [(1, "participant-2"), (2, "participant-2")]


def test_the_last_snapshot_read_is_the_victims_whatever_else_is_seen() -> None:
    """Another participant's upload, or an aggregate of a later round, is no victim's data."""
    seen = view((1, UPLOAD(2)), (2, UPLOAD(3)), (2, AGGREGATE), (2, SENT(2)))
    assert told(seen.closest) == [(1, "participant-2")]
