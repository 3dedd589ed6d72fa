import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.data import (
    AuditSet,
    Ledger,
    MembershipQuery,
    about_all_but,
    about_participant,
    new_ledger,
)
from fedsim.errors import DataError

ZERO = about_participant(0)


def make_ledger(records=10, sets=((0, 1, 2), (2, 3)), test=(9,), duplicates=()) -> Ledger:
    return Ledger(
        labels=np.arange(records) % 3,
        test=np.isin(np.arange(records), test),
        duplicate=np.isin(np.arange(records), duplicates),
        training_sets=tuple(np.array(drawn, dtype=np.int64) for drawn in sets),
    )


def audit_of(records, member, known) -> AuditSet:
    return AuditSet(np.array(records), np.array(member), np.array(known))


def test_truth_is_joined_by_record_id_in_the_order_asked():
    ledger = make_ledger()
    assert ledger.join(ZERO, np.array([9, 2, 0, 3])).tolist() == [False, True, True, False]
    union = about_all_but(2, participants=2)
    assert ledger.join(union, np.array([3, 4])).tolist() == [True, False]
    assert ledger.join(ZERO, np.array([], dtype=np.int64)).tolist() == []


@given(data=st.data())
def test_join_agrees_with_sets(data):
    ids = st.sets(st.integers(0, 19))
    sets = data.draw(st.lists(ids, min_size=1, max_size=4))
    asked = data.draw(st.permutations(range(20)))
    victims = data.draw(st.sets(st.integers(0, len(sets) - 1), min_size=1))
    ledger = make_ledger(20, [sorted(drawn) for drawn in sets], test=())
    union = set().union(*(sets[victim] for victim in victims))
    query = MembershipQuery("q", tuple(victims))
    found = ledger.join(query, np.array(asked))
    assert found.tolist() == [record in union for record in asked]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([0, 10], r"no record 10; valid: 0\.\.9"),
        ([-1], "no record -1"),
        ([1, 2, 1], "record 1 occurs more than once"),
        ([0.5], "integers with one axis, not float64"),
        ([[1]], "one axis"),
        ([True], "integers with one axis, not bool"),
    ],
)
def test_unknown_and_doubled_records_are_refused(records, sentence):
    with pytest.raises(DataError, match=f"query participant-0: .*{sentence}"):
        make_ledger().join(ZERO, np.array(records))


def test_impossible_training_sets_are_refused():
    with pytest.raises(DataError, match="set of participant 1: record 2 occurs more than once"):
        make_ledger(sets=((0,), (2, 2)))
    with pytest.raises(DataError, match="set of participant 0: there is no record 10"):
        make_ledger(sets=((10,),))
    with pytest.raises(DataError, match="set of participant 0 holds test records"):
        make_ledger(sets=((9,),))


def test_queries_name_who_is_asked_about_and_who_holds_what():
    assert about_participant(3) == MembershipQuery("participant-3", (3,), ())
    assert about_all_but(1, participants=4) == MembershipQuery("all-but-1", (0, 2, 3), (1,))


@pytest.mark.parametrize(
    ("key", "victims", "holders", "sentence"),
    [
        ("a/b", (0,), (), "key 'a/b' must be letters"),
        ("", (0,), (), "must be letters"),
        ("q", (), (), "at least one victim"),
        ("q", (0, 0), (), "no participant twice"),
        ("q", (0, 1), (1,), "no participant twice"),
    ],
)
def test_impossible_queries_are_refused(key, victims, holders, sentence):
    with pytest.raises(DataError, match=sentence):
        MembershipQuery(key, victims, holders)


def test_participants_that_do_not_exist_are_refused():
    with pytest.raises(DataError, match=r"no participant 2; valid: 0\.\.1"):
        make_ledger().join(about_participant(2), np.array([0]))
    with pytest.raises(DataError, match="no participant -1"):
        make_ledger().holders_of([-1])


def test_an_audit_written_in_comes_back_with_the_truth():
    audit = audit_of([0, 2, 5, 9], [True, True, False, False], [True, False, True, False])
    ledger = make_ledger().with_audit(ZERO, audit)
    found = ledger.audit(ZERO)
    assert found.records.tolist() == [0, 2, 5, 9]
    assert found.member.tolist() == [True, True, False, False]
    assert found.known.tolist() == [True, False, True, False]
    assert len(make_ledger().roles) == 0
    with pytest.raises(DataError, match="no audit of participant-1; valid: participant-0"):
        ledger.audit(about_participant(1))


def test_an_audit_with_slipped_labels_is_refused():
    slipped = audit_of([0, 2, 5], [True, False, True], [True, True, True])
    with pytest.raises(DataError, match="contradicts the ledger about members"):
        make_ledger().with_audit(ZERO, slipped)


def test_new_ledger_sorts_the_draws_and_knows_test_records(make_dataset):
    dataset = make_dataset()
    drawn = dataset.pool_records[[5, 3, 4]]
    ledger = new_ledger(dataset, [drawn, drawn[:1]])
    assert ledger.participants == 2
    assert ledger.training_sets[0].tolist() == sorted(drawn)
    assert np.array_equal(ledger.test, dataset.test)
    assert not ledger.duplicate.any()
