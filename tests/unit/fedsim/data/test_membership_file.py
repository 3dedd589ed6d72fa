"""A membership file is read strictly, and becomes a ledger whose audit leaves copies out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedsim.data import Arrays, Dataset, Membership, read_membership
from fedsim.data.splitting import from_arrays
from fedsim.errors import DataError


def data(records: int = 20) -> Dataset:
    """Return records that differ, but for the last, which is a copy of the first."""
    features = np.arange(records, dtype=np.float32)[:, None].repeat(3, axis=1)
    features[-1] = features[0]
    labels = np.arange(records) % 2
    return from_arrays("toy", Arrays(features, labels), test_records=4, seed=0)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    table = pa.table({"record": [3, 1], "member": [True, False], "known": [False, True]})
    pq.write_table(table, tmp_path / "who.parquet")
    written(tmp_path / "who.csv", "record,member,known\n3,true,false\n1,false,true\n")
    for name in ("who.parquet", "who.csv"):
        found = read_membership(tmp_path / name)
        assert found.records.tolist() == [3, 1]
        assert found.member.tolist() == [True, False]
        assert found.known is not None
        assert found.known.tolist() == [False, True]


def test_ones_and_noughts_are_true_and_false(tmp_path: Path) -> None:
    found = read_membership(written(tmp_path / "who.csv", "record,member\n0,1\n1,0\n"))
    assert found.member.tolist() == [True, False]
    assert found.known is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("record,members\n0,true\n", "missing: member, unknown: members"),
        ("record,member\n0,2\n", "column member must be true or false"),
        ("record,member\n0,yes\n", "column member must be true or false"),
        ("record,member\n0.5,true\n", "column record must be integers"),
        ("record,member\n,true\n", "column record has empty cells"),
        ("record,member\n0,true,1\n", "cannot read the membership file"),
    ],
)
def test_a_file_that_is_not_one_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_membership(written(tmp_path / "who.csv", text))


def test_a_missing_file_and_another_ending_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"who\.csv"):
        read_membership(tmp_path / "who.csv")
    with pytest.raises(DataError, match=r"valid endings: \.csv, \.parquet"):
        read_membership(tmp_path / "who.pkl")


def test_the_ledger_joins_the_file_by_record_and_leaves_copies_out() -> None:
    records = np.array([9, 0, 2, 5, 6, 19, 1, 4])
    member = records % 2 == 1
    membership = Membership(records, member)
    ledger = membership.ledger(data(), seed=0)
    audit = ledger.audit(membership.query)
    assert audit.records.tolist() == [1, 2, 4, 5, 6, 9]
    assert np.array_equal(audit.member, audit.records % 2 == 1)
    assert ledger.training_sets[0].tolist() == [1, 5, 9, 19]
    assert np.flatnonzero(ledger.test).tolist() == [0, 2, 4, 6]


def test_half_of_each_side_is_known_where_the_file_does_not_say() -> None:
    records = np.arange(1, 17)
    member = records > 8
    first = Membership(records, member).ledger(data(), seed=0)
    turned = Membership(records[::-1], member[::-1]).ledger(data(), seed=0)
    query = Membership(records, member).query
    audit = first.audit(query)
    assert [int((audit.known & (audit.member == side)).sum()) for side in (True, False)] == [4, 4]
    assert np.array_equal(audit.known, turned.audit(query).known)
    other = Membership(records, member).ledger(data(), seed=1).audit(query)
    assert not np.array_equal(audit.known, other.known)


@pytest.mark.parametrize(
    ("records", "known", "sentence"),
    [
        ([1, 2, 3, 40], None, "there is no record 40 in toy; valid: 0..19"),
        ([1, 2, 2, 3], None, "record 2 is listed more than once"),
        ([1, 2, 3, 4], [True] * 4, "no tested members are left"),
        ([1, 19, 3, 4], None, "no .* members are left"),
    ],
)
def test_a_list_that_no_audit_can_be_made_of(
    records: list[int], known: list[bool] | None, sentence: str
) -> None:
    member = np.array([True, True, False, False])
    told = None if known is None else np.array(known)
    with pytest.raises(DataError, match=sentence):
        Membership(np.array(records), member, told).ledger(data(), seed=0)
