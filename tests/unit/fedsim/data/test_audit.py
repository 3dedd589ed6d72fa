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
        ((10, 4, 9, 4), "participant-0: members: 10 known and 9 tested .* only 18 candidates"),
        ((4, 10, 4, 10), "unseen non-members: 10 known and 10 tested .* only 19 candidates"),
        ((-1, 4, 4, 4), "-1 known and 4 tested must not be negative"),
    ],
)
def test_impossible_sizes_get_a_sentence_with_the_numbers(sizes, sentence):
    with pytest.raises(DataError, match=sentence):
        draw(sizes=sizes)


def test_unknown_kind_of_nonmembers_gets_a_sentence():
    with pytest.raises(DataError, match="no non-members 'all'; valid: both, others, unseen"):
        draw(nonmembers="all")
