"""Small files that would unpack to gigabytes: refused in one sentence, before the memory is used.

Each is read with no more than a gigabyte left to reserve, and may not use a quarter of it.
"""

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flwr.app import Array, ArrayRecord

from adversaries.inference.feature_file import load_features
from fedsim.config.loading import read_experiment
from fedsim.config.yaml_files import parse_yaml
from fedsim.data import load_dataset, read_ledger, read_membership
from fedsim.data.sources.location30 import Location30
from fedsim.errors import FedsimError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.observation.snapshot_file import Snapshot
from fedsim.report.results_file import read_results
from fedsim.stages.figures.score_files import made_from, read_scores, read_trace
from fedsim.stages.simulation.history import read_history_file, read_malicious_updates
from fedsim.studies.cells import expand
from fedsim.studies.definition import load_study
from fedsim.transport.messages import require_readable, require_usable
from fuzz.harness import Subject, limited_memory, run
from fuzz.mutators import npy, tables, tensors, texts

GIGABYTE = 1 << 30
ROWS = 80_000_000


def zeros(name: str, rows: int = ROWS) -> bytes:
    """Return a parquet file of a few kilobytes with so many zeros in it."""
    sink = io.BytesIO()
    block = pa.table({name: pa.array(np.zeros(rows // 80, np.int64))})
    with pq.ParquetWriter(sink, block.schema, compression="zstd") as writer:
        for _ in range(80):
            writer.write_table(block)
    return sink.getvalue()


def lying(rows: int) -> bytes:
    """Return a ledger's list column of one row with so many values, and a footer that says ten."""
    sink = io.BytesIO()
    column = pa.array([np.zeros(rows, np.int32)], pa.list_(pa.int32()))
    pq.write_table(pa.table({"participants": column}), sink, compression="zstd")
    content = sink.getvalue()
    size = int.from_bytes(content[-8:-4], "little")
    data, footer = content[: -8 - size], content[-8 - size : -8]
    stated = varint(2 * rows)
    assert stated in footer
    return data + footer.replace(stated, varint(20, len(stated))) + content[-8:]


def varint(number: int, length: int = 1) -> bytes:
    """Return a number as Thrift writes it, in at least so many bytes."""
    digits = []
    while number or len(digits) < length:
        digits.append(number & 0x7F)
        number >>= 7
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def header_only(header: object) -> bytes:
    return tensors.closed(header, b"")


def gzipped_zeros(info: tarfile.TarInfo) -> bytes:
    """Return an archive whose first header states a size, with as many zeros as fit into little."""
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(32 << 20), mtime=0)


def stating(kind: bytes, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo("bangkok")
    info.type, info.size = kind, size
    return info


HUGE = {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 2**62]}
ENDLESS = Path("/dev/zero")

FILES: dict[str, tuple[bytes, str, Callable[[Path], object]]] = {
    "ledger rows": (zeros("record"), "a.parquet", read_ledger),
    "membership rows": (zeros("record"), "a.parquet", read_membership),
    "scores rows": (zeros("record"), "a.parquet", read_scores),
    "trace rows": (zeros("round"), "a.parquet", read_trace),
    "snapshot header": (
        header_only({"w": HUGE}),
        "round-00001.aggregate.safetensors",
        lambda path: Snapshot(path, 1, "aggregate").load(),
    ),
    "checkpoint header": (header_only({"w": HUGE}), "a", Checkpoint.load),
    "features header": (header_only({"w": HUGE}), "a", load_features),
    "header length": (struct.pack("<Q", 2**40) + b"{}", "a", Checkpoint.load),
    "yaml aliases": (texts.laughs(12).encode(), "a.yaml", read_experiment),
    "yaml merges": (texts.merges(40).encode(), "a.yaml", read_experiment),
    "study format": (b"base: '{scale:>9999999999}'", "a.yaml", load_study),
    "nested json": (b"[" * 1_000_000, "a.json", read_results),
    "nested history": (b'{"rounds":' * 200_000, "a.json", read_history_file),
    "nested malicious updates": (b"[" * 200_000, "a.json", read_malicious_updates),
    "archive bomb": (gzipped_zeros(stating(tarfile.REGTYPE, 2**32)), "a.tgz", Location30.decode),
    "archive name": (
        gzipped_zeros(stating(tarfile.GNUTYPE_LONGNAME, 2**31)),
        "a.tgz",
        Location30.decode,
    ),
    "archive header": (gzipped_zeros(stating(tarfile.XHDTYPE, 2**31)), "a.tgz", Location30.decode),
}


def read_within_bounds(read: Callable[[], object], folder: Path) -> None:
    """Read with a gigabyte left, in seconds; it must be refused."""
    subject = Subject("bomb", lambda random: None, lambda broken, _: read())
    with limited_memory(GIGABYTE):
        tally = run(subject, folder, seed=0, first=0, count=1)
    assert not tally.defects, tally.defects[0]
    assert tally.counts["refused"] == 1


@pytest.mark.parametrize("name", FILES)
def test_a_bomb_is_refused_before_it_is_unpacked(name: str, tmp_path: Path) -> None:
    content, file_name, read = FILES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    assert len(content) < 1_000_000 or name == "nested json" or name == "nested history"
    read_within_bounds(lambda: read(path), tmp_path)


def test_a_footer_that_lies_about_its_pages_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(lying(1_000_000))
    assert pq.read_metadata(path).row_group(0).column(0).num_values == 10
    assert path.stat().st_size < 1000
    monkeypatch.setattr("fedsim.data.parquet_file.MOST_VALUES", 900_000)
    with pytest.raises(FedsimError, match="states more than 900,000 values in a column"):
        read_ledger(path)
    path.write_bytes(tables.written(pa.table({"record": ["x" * 2_000_000]}), compression="zstd"))
    monkeypatch.setattr("fedsim.data.parquet_file.MOST_PAGE_BYTES", 1_000_000)
    with pytest.raises(FedsimError, match=r"a page unpacks to 2,000,\d{3} bytes"):
        read_ledger(path)


@pytest.mark.parametrize(
    "read", [read_experiment, load_study, read_results, read_history_file, read_malicious_updates]
)
def test_a_file_without_end_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    read_within_bounds(lambda: read(ENDLESS), tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("federation.rounds", 10**12),
        ("partition.participants", 10**12),
        ("snapshots.rounds", "{every: 1, first: 1}"),
        ("audit.victims", f"[{10**15}]"),
    ],
)
def test_an_experiment_without_end_is_refused(key: str, value: object, tmp_path: Path) -> None:
    from toys import tree

    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(tree()))
    overrides = [f"{key}={value}", "federation.rounds=1000000000000"]
    read_within_bounds(lambda: read_experiment(path, overrides), tmp_path)


def test_a_study_of_too_many_cells_is_refused(tmp_path: Path) -> None:
    axes = {f"a{n}": {str(v): {} for v in range(10)} for n in range(12)}
    study = {"title": "t", "reproduces": "r", "base": "b", "scales": {"cpu": {}}, "axes": axes}
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(study))
    read_within_bounds(lambda: expand(load_study(path), path, "cpu"), tmp_path)


@pytest.mark.parametrize("shape", [f"({2**33},)", "(2, 3)", f"({2**62}, 4)", f"({10**9},)"])
def test_a_message_that_states_more_than_it_brings_is_refused(shape: str, tmp_path: Path) -> None:
    data = npy.headed(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}", b"x" * 24)
    arrays = ArrayRecord({"w": Array("float64", (2, 3), "numpy.ndarray", data)})
    read_within_bounds(lambda: require_usable(arrays, {"w": (2, 3)}, "p"), tmp_path)
    read_within_bounds(lambda: require_readable(arrays, "p"), tmp_path)


def test_yaml_may_still_use_aliases() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: *a}", "s")["b"] == {"x": 1, "y": {"x": 1}}


def test_no_pickle_in_a_parquet_file_is_run(tmp_path: Path) -> None:
    """Arrow once made objects of what a file's schema says (CVE-2023-47248)."""
    field = pa.field(
        "record",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": b"\x80\x04cos\nsystem\n(X\x06\x00\x00\x00exit 7tR.",
        },
    )
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array([1])], schema=pa.schema([field])), path)
    for read in (read_ledger, read_membership, read_scores, made_from):
        read_within_bounds(lambda read=read: read(path), tmp_path)  # type: ignore[misc]
    with pytest.raises(FedsimError, match=r"columns must be"):
        read_ledger(path)


@pytest.mark.parametrize("role", ["label", "user", "feature", "text"])
def test_a_long_text_that_many_rows_repeat_takes_no_room(role: str, tmp_path: Path) -> None:
    """A megabyte of text in a million rows: as an array of texts it would take 4 TB."""
    long = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(1_000_000, np.int32)), pa.array(["x" * 1_000_000])
    )
    plain = pa.array(np.zeros(1_000_000, np.int8))
    table = pa.table({"long": long, "plain": plain})
    pq.write_table(table, tmp_path / "t.parquet")
    settings: dict[str, object] = {"path": "t.parquet", "label": "plain"}
    settings |= {
        "label": {"label": "long", "features": ["plain"]},
        "user": {"user": "long", "features": ["plain"]},
        "feature": {"features": ["long"]},
        "text": {"text": "long", "max_length": 2},
    }[role]

    def read() -> None:
        load_dataset("parquet", settings, data_dir=tmp_path, cache_dir=tmp_path / "cache", seed=0)

    if role == "text":
        read()
        return
    read_within_bounds(read, tmp_path)
