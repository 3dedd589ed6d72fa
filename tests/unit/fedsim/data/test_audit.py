import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.data import (
    AuditSizes,
    Ledger,
    MembershipQuery,
    about_all_but,
    about_participant,
    draw_audit,
)
from fedsim.errors import DataError

# Three participants: 0 has 0..19, 1 has 10..29, 2 has 30..39; 40..49 are test records.
# 0 and 12 (members of 0), 25 (of 1 alone) and 45 (nobody's) have copies elsewhere.
RECORDS = np.arange(60)
LEDGER = Ledger(
    labels=RECORDS % 4,
    test=(RECORDS >= 40) & (RECORDS < 50),
    duplicate=np.isin(RECORDS, [0, 12, 25, 45]),
    training_sets=(np.arange(20), np.arange(10, 30), np.arange(30, 40)),
)
ZERO = about_participant(0)
UNSEEN = {*range(40, 60)} - {45}


def draw(query=ZERO, sizes=(4, 4, 4, 4), nonmembers="unseen", seed=1):
    return draw_audit(LEDGER, query, AuditSizes(*sizes), nonmembers=nonmembers, seed=seed)


@given(
    sizes=st.tuples(*[st.integers(0, 9)] * 4),
    nonmembers=st.sampled_from(["unseen", "others", "both"]),
    seed=st.integers(0, 3),
)
def test_drawn_records_are_right_in_number_and_kind(sizes, nonmembers, seed):
    audit = draw(sizes=sizes, nonmembers=nonmembers, seed=seed)
    counts = [
        (audit.known & audit.member).sum(),
        (audit.known & ~audit.member).sum(),
        (~audit.known & audit.member).sum(),
        (~audit.known & ~audit.member).sum(),
    ]
    assert counts == list(sizes)
    assert (np.diff(audit.records) > 0).all()
    assert not LEDGER.duplicate[audit.records].any()
    assert np.array_equal(LEDGER.join(ZERO, audit.records), audit.member)


@pytest.mark.parametrize(
    ("nonmembers", "candidates"),
    [
        ("unseen", UNSEEN),
        ("others", {*range(20, 40)} - {25}),
        ("both", UNSEEN | {*range(20, 40)} - {25}),
    ],
)
def test_every_candidate_is_drawn_when_all_are_asked_for(nonmembers, candidates):
    members = {*range(20)} - {0, 12}
    audit = draw(sizes=(len(members), 0, 0, len(candidates)), nonmembers=nonmembers)
    assert set(audit.records[audit.member].tolist()) == members
    assert set(audit.records[~audit.member].tolist()) == candidates


def test_records_that_the_attacker_holds_are_never_candidates():
    """Participant 1 asks about 0 and 2: its own 10..29 are out, though 0 has 10..19 too."""
    query = about_all_but(1, participants=3)
    members = {*range(1, 10), *range(30, 40)}
    audit = draw(query, sizes=(len(members), 5, 0, 14))
    assert set(audit.records[audit.member].tolist()) == members
    assert set(audit.records[~audit.member].tolist()) == UNSEEN
    with pytest.raises(DataError, match="only 0 candidates"):
        draw(query, sizes=(1, 1, 1, 1), nonmembers="others")


def test_members_are_drawn_evenly_over_the_victims():
    """Of the 38 members of anybody, 10 (26 %) are participant 2's."""
    query = MembershipQuery("anybody", (0, 1, 2))
    drawn = np.concatenate([draw(query, (5, 0, 5, 0), seed=seed).records for seed in range(200)])
    assert np.mean(drawn >= 30) == pytest.approx(10 / 37, abs=0.04)


def test_draws_depend_on_the_seed_and_the_query_alone():
    first, again, other = draw(), draw(), draw(seed=2)
    assert np.array_equal(first.records, again.records)
    assert np.array_equal(first.known, again.known)
    assert not np.array_equal(first.records, other.records)
    renamed = draw(MembershipQuery("another", (0,)))
    assert not np.array_equal(first.records, renamed.records)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            (10, 4, 9, 4),
            r"members: audit.known_members is 10 and .*_members is 9, but there are only 18",
        ),
        (
            (4, 10, 4, 10),
            r"audit.known_nonmembers is 10 and audit.tested_nonmembers is 10, .* only 19",
        ),
        ((-1, 4, 4, 4), "-1 known and 4 tested must not be negative"),
    ],
)
def test_impossible_sizes_get_a_sentence_with_the_numbers(sizes, sentence):
    with pytest.raises(DataError, match=sentence):
        draw(sizes=sizes)


def test_unknown_kind_of_nonmembers_gets_a_sentence():
    with pytest.raises(DataError, match="'all'; valid: both, label-matched, others, unseen"):
        draw(nonmembers="all")


SKEWED = Ledger(
    labels=np.arange(600) % 6,
    test=np.arange(600) >= 500,
    duplicate=np.zeros(600, dtype=bool),
    # Participant 0 has no records of classes 4 and 5, and mostly of class 0.
    training_sets=(
        np.array([r for r in range(300) if r % 6 in (0, 1, 2, 3) and (r % 6 == 0 or r < 60)]),
        np.arange(300, 400),
    ),
)


@given(nonmembers=st.sampled_from(["unseen", "others", "both", "label-matched"]))
def test_nonmembers_are_of_classes_that_a_victim_has_unless_any_is_asked_for(nonmembers):
    sizes = AuditSizes(20, 10, 20, 20)
    audit = draw_audit(SKEWED, ZERO, sizes, nonmembers=nonmembers, seed=0)
    assert set(SKEWED.labels[audit.records[~audit.member]]) <= {0, 1, 2, 3}
    if nonmembers != "label-matched":
        sizes = AuditSizes(1, 30, 1, 30)
        audit = draw_audit(SKEWED, ZERO, sizes, nonmembers=nonmembers, classes="any", seed=0)
        assert {4, 5} <= set(SKEWED.labels[audit.records[~audit.member]])


def test_where_all_classes_are_there_the_draw_is_that_of_version_1():
    """Restricting to all classes is no restriction: the same records, in the same order."""
    one = draw_audit(LEDGER, ZERO, AuditSizes(4, 4, 4, 4), seed=1)
    other = draw_audit(LEDGER, ZERO, AuditSizes(4, 4, 4, 4), classes="any", seed=1)
    assert np.array_equal(one.records, other.records)
    assert np.array_equal(one.known, other.known)


@pytest.mark.parametrize("ratio", [1, 2])
def test_matched_nonmembers_have_the_labels_of_the_members(ratio):
    sizes = AuditSizes(6, 6 * ratio, 12, 12 * ratio)
    audit = draw_audit(SKEWED, ZERO, sizes, nonmembers="label-matched", seed=0)
    for known in (True, False):
        side = audit.known == known
        counts = [
            np.bincount(SKEWED.labels[audit.records[side & (audit.member == member)]], minlength=6)
            for member in (True, False)
        ]
        assert np.array_equal(ratio * counts[0], counts[1])
    few = AuditSizes(20, 20, 40, 400)
    with pytest.raises(DataError, match="more of class 0 were asked for, but there are only"):
        draw_audit(SKEWED, ZERO, few, nonmembers="label-matched", seed=0)


def test_nonmembers_of_the_pool_only():
    audit = draw_audit(SKEWED, ZERO, AuditSizes(10, 10, 10, 10), source="pool", seed=0)
    assert not SKEWED.test[audit.records].any()


def users_ledger(user_score="mean"):
    """40 users of 5 records: 0..9 of participant 0, 10..19 of 1, the rest of nobody."""
    groups = np.repeat(np.arange(40), 5)
    return Ledger(
        labels=np.arange(200) % 4,
        test=groups >= 30,
        duplicate=np.isin(np.arange(200), [3, 190]),
        training_sets=(np.flatnonzero(groups < 10), np.flatnonzero((groups >= 10) & (groups < 20))),
        groups=groups,
        user_score=user_score,
    )


@pytest.mark.parametrize(
    ("nonmembers", "users"),
    [("unseen", range(20, 40)), ("others", range(10, 20)), ("both", range(10, 40))],
)
def test_users_are_drawn_as_a_whole(nonmembers, users):
    ledger = users_ledger()
    audit = draw_audit(ledger, ZERO, AuditSizes(4, 5, 6, 5), nonmembers=nonmembers, seed=3)
    who = ledger.groups[audit.records]
    for known, member, count in ((1, 1, 4), (1, 0, 5), (0, 1, 6), (0, 0, 5)):
        found = np.unique(who[(audit.known == known) & (audit.member == member)])
        assert len(found) == count
        assert set(found.tolist()) <= set(range(10) if member else users)
        records = np.flatnonzero(np.isin(ledger.groups, found) & ~ledger.duplicate)
        assert np.isin(records, audit.records).all()  # all of a user's, but for copies
    again = ledger.with_audit(ZERO, audit).audit(ZERO)
    assert np.array_equal(again.users, who)
    assert again.user_score == "mean"


def test_users_that_cannot_be_drawn_get_a_sentence():
    ledger = users_ledger()
    with pytest.raises(
        DataError, match=r"users, participant-0: members: .*members is 9 and .*members is 9, .*10"
    ):
        draw_audit(ledger, ZERO, AuditSizes(9, 1, 9, 1), seed=0)
    with pytest.raises(DataError, match=r"label-matched is for audit.unit: record"):
        draw_audit(ledger, ZERO, AuditSizes(1, 1, 1, 1), nonmembers="label-matched", seed=0)
    nobody = Ledger(
        ledger.labels, ledger.test, ledger.duplicate, ledger.training_sets, user_score="mean"
    )
    with pytest.raises(DataError, match=r"audit.unit is user, but the data have no users"):
        draw_audit(nobody, ZERO, AuditSizes(1, 1, 1, 1), seed=0)


@pytest.mark.parametrize(
    ("who", "most"), [("participant-0", (18, 19)), ("users, participant-0", (10, 20))]
)
def test_both_sides_are_told_at_once_with_what_would_be_valid(who, most):
    ledger, sizes = (
        (users_ledger(), (9, 11, 9, 10)) if "users" in who else (LEDGER, (10, 10, 9, 10))
    )
    with pytest.raises(DataError) as error:
        draw_audit(ledger, ZERO, AuditSizes(*sizes), seed=0)
    assert len(error.value.faults) == 2
    told = str(error.value)
    assert told.startswith(f"2 faults: (1) audit of {who}: members: ")
    assert f"; (2) audit of {who}: unseen non-members: " in told
    assert all(f"together they may be {count} at most" in told for count in most)
