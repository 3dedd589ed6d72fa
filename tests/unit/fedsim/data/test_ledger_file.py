import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.data import Ledger, read_ledger, write_ledger
from fedsim.errors import DataError


def make_ledger(records, sets, test, duplicates, roles) -> Ledger:
    return Ledger(
        labels=np.arange(records) % 7,
        test=np.isin(np.arange(records), sorted(test)),
        duplicate=np.isin(np.arange(records), sorted(duplicates)),
        training_sets=tuple(np.array(sorted(drawn - test), dtype=np.int64) for drawn in sets),
        roles={key: np.array(codes, dtype=np.int8) for key, codes in roles.items()},
    )


@st.composite
def ledgers(draw) -> Ledger:
    records = draw(st.integers(1, 12))
    ids = st.sets(st.integers(0, records - 1))
    codes = st.lists(st.integers(0, 2), min_size=records, max_size=records)
    return make_ledger(
        records,
        draw(st.lists(ids, max_size=4)),
        draw(ids),
        draw(ids),
        draw(st.dictionaries(st.sampled_from(["participant-0", "all-but-1"]), codes)),
    )


def read_table(path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def assert_equal(left: Ledger, right: Ledger) -> None:
    for name in ("labels", "test", "duplicate"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), strict=True)
    assert len(left.training_sets) == len(right.training_sets)
    for ours, theirs in zip(left.training_sets, right.training_sets, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    assert left.roles.keys() == right.roles.keys()
    for key in left.roles:
        np.testing.assert_array_equal(left.roles[key], right.roles[key], strict=True)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.5, -1.0, 2.0], np.float32),
        np.array([[0.5, 1.0], [1.0, 2.0], [3.0, 4.0]], np.float32),
        np.array([[1, -100], [5, 6], [-100, 2]]),
    ],
)
def test_labels_of_other_objectives_and_groups_are_read_back(tmp_path, labels):
    ledger = Ledger(
        labels,
        np.zeros(3, bool),
        np.zeros(3, bool),
        (np.array([0, 2]),),
        groups=np.array([1, 0, 1]),
        user_score="max",
    )
    write_ledger(ledger, tmp_path / "ledger.parquet")
    found = read_ledger(tmp_path / "ledger.parquet")
    assert_equal(found, ledger)
    np.testing.assert_array_equal(found.groups, ledger.groups, strict=True)
    assert found.user_score == "max"


@settings(max_examples=40)
@given(ledger=ledgers(), data=st.data())
def test_what_is_written_is_read_back_whatever_the_order_of_rows(tmp_path_factory, ledger, data):
    path = tmp_path_factory.mktemp("rate=0.1-") / "ledger.parquet"
    write_ledger(ledger, path)
    assert_equal(read_ledger(path), ledger)
    order = data.draw(st.permutations(range(len(ledger))))
    pq.write_table(read_table(path).take(order), path)
    assert_equal(read_ledger(path), ledger)


@pytest.fixture
def written(tmp_path):
    ledger = make_ledger(5, [{0, 1}, {1, 2}], {4}, {3}, {"participant-0": [1, 2, 0, 0, 2]})
    path = tmp_path / "ledger.parquet"
    write_ledger(ledger, path)
    return path


def test_the_file_says_what_its_documentation_says(written):
    table = read_table(written)
    assert table.to_pydict() == {
        "record": [0, 1, 2, 3, 4],
        "label": [0, 1, 2, 3, 4],
        "split": ["pool", "pool", "pool", "pool", "test"],
        "duplicate": [False, False, False, True, False],
        "participants": [[0], [0, 1], [1], [], []],
        "role/participant-0": ["known", "tested", None, None, "tested"],
    }
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def replaced(table, name, values, kind=None):
    column = pa.array(values, kind or table.schema.field(name).type)
    return table.set_column(table.column_names.index(name), name, column)


BAD_TABLES = {
    "column missing": (lambda t: t.drop_columns(["split"]), "missing: split"),
    "column unknown": (lambda t: t.append_column("x", t["record"]), "unknown: x"),
    "column doubled": (lambda t: t.append_column("label", t["label"]), "its columns must be"),
    "row missing": (lambda t: t.take([0, 1, 3, 4]), "missing or doubled"),
    "row doubled": (lambda t: t.take([0, 1, 2, 3, 4, 4]), "missing or doubled"),
    "record negative": (
        lambda t: replaced(t, "record", [-1, 0, 1, 2, 3]),
        "missing or doubled",
    ),
    "record of wrong type": (
        lambda t: replaced(t, "record", ["0", "1", "2", "3", "4"], pa.string()),
        "column record must be int64, not string",
    ),
    "record empty": (lambda t: replaced(t, "record", [0, 1, 2, 3, None]), "record has empty"),
    "split unknown": (
        lambda t: replaced(t, "split", ["train"] * 5),
        "column split holds train; valid: pool, test",
    ),
    "role unknown": (
        lambda t: replaced(t, "role/participant-0", ["guess", None, None, None, None]),
        "column role/participant-0 holds guess; valid: known, tested",
    ),
    "role of wrong type": (
        lambda t: replaced(t, "role/participant-0", [1, 2, 0, 0, 2], pa.int8()),
        "must be string, not int8",
    ),
    "participant negative": (
        lambda t: replaced(t, "participants", [[-1], [], [], [], []]),
        "no participant -1",
    ),
    "participant unknown": (
        lambda t: replaced(t, "participants", [[2], [], [], [], []]),
        "no participant 2",
    ),
    "participant empty": (
        lambda t: replaced(t, "participants", [[None], [], [], [], []]),
        "participants has empty cells",
    ),
    "participant doubled": (
        lambda t: replaced(t, "participants", [[0, 0], [], [], [], []]),
        "record 0 occurs more than once",
    ),
    "test record trained on": (
        lambda t: replaced(t, "participants", [[], [], [], [], [0]]),
        "holds test records",
    ),
    "metadata missing": (
        lambda t: t.replace_schema_metadata(None),
        "how many participants",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_file_that_is_not_exactly_a_ledger_is_refused_by_name(written, case):
    change, sentence = BAD_TABLES[case]
    pq.write_table(change(read_table(written)), written)
    with pytest.raises(DataError, match=f"^ledger .*ledger.parquet: .*{sentence}"):
        read_ledger(written)


def test_missing_and_damaged_files_are_refused(written):
    content = written.read_bytes()
    written.write_bytes(content[:-10])
    with pytest.raises(DataError, match=r"ledger\.parquet is not a sound parquet file"):
        read_ledger(written)
    written.write_bytes(content[: len(content) // 2] + content[-8:])
    with pytest.raises(DataError, match="not a sound parquet file"):
        read_ledger(written)
    written.unlink()
    with pytest.raises(DataError, match="there is no ledger"):
        read_ledger(written)
