"""What fuzzing has found, an input each: it stays refused, in a sentence that says why."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from PIL import Image, PngImagePlugin

from adversaries.inference.feature_file import load_features, stated_spec
from adversaries.positions.curious_server import CuriousServer
from fedsim.config.loading import read_experiment
from fedsim.config.yaml_files import parse_yaml
from fedsim.data import Arrays, SourceLocation, read_ledger, read_membership
from fedsim.data.cache import load_or_decode
from fedsim.data.sources.cifar import pixels
from fedsim.data.sources.location30 import Location30
from fedsim.errors import DataError, FedsimError, MessageError, SnapshotError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.strategies import build_strategy
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.score_files import made_from, overlapping, read_scores, read_trace
from fedsim.stages.preparation.external_weights import read_weights
from fedsim.stages.report import flat_provenance
from fedsim.stages.simulation.checkpointing import read_taken_over
from fedsim.stages.simulation.history import read_history_file
from fedsim.studies.cells import expand
from fedsim.studies.definition import load_study
from fedsim.transport.messages import proximal_of, require_finite, require_readable, round_of
from fedsim.transport.npy_decoding import decode_array as decoded_array
from fuzz.corpus import Corpus
from fuzz.harness import unclear
from fuzz.mutators import npy, tables, tensors


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(FedsimError) as error:
        read()
    assert unclear(str(error.value)) is None
    return str(error.value)


def test_an_error_quotes_hostile_text_on_one_line_of_bounded_length() -> None:
    said = str(FedsimError(f"there is no {'x' * 10_000}\n\x1b[2J\ud800; valid: a"))
    assert said.startswith("there is no xxx")
    assert said.endswith(r"\n\x1b[2J\ud800; valid: a")
    assert len(said) < 1600


@pytest.mark.parametrize(
    "text", ["!!int ''", "!!float ''", "!!bool perhaps", "!!timestamp never"], ids=str.split
)
def test_a_yaml_tag_before_what_is_none(text: str) -> None:
    assert "x is not valid YAML: " in refused(lambda: parse_yaml(f"a: {text}", "x"))


def test_an_override_with_a_place_of_thousands_of_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(toys.tree()))
    said = refused(lambda: read_experiment(path, [f"adversaries.{'9' * 5000}=1"]))
    assert said.endswith("is no position; valid: 0 to 1")


@pytest.mark.parametrize("base", ["{0}", "{x}", "{", "{scale.__class__}"])
def test_a_studys_base_is_a_name_and_no_format(base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        json.dumps({"title": "t", "reproduces": "r", "base": base, "scales": {"cpu": {}}})
    )
    said = refused(lambda: expand(load_study(path), path, "cpu"))
    assert f"cannot read the experiment {tmp_path / base}" in said


def test_a_kept_experiment_that_is_no_yaml_is_another_experiment(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"[" * 1500, b"a: !!int ''", b"a: &a [*a]"):
        (tmp_path / "experiment.yaml").write_bytes(content)
        said = refused(lambda: RunDirectory.create(tmp_path, toys.experiment().resolved()))
        assert "holds a run of another experiment" in said


def edited(source: Path, path: Path, **columns: Any) -> Path:
    """Write a table with some columns exchanged, or metadata under ``metadata``."""
    with pq.ParquetFile(source) as file:
        table = file.read()
    metadata = columns.pop("metadata", None)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    if metadata is not None:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    path.write_bytes(tables.written(table))
    return path


@pytest.mark.parametrize("count", [b"9" * 5000, b"1000000000", b"-1", b""])
def test_a_ledger_of_impossibly_many_participants(
    count: bytes,
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    told = {b"fedsim.participants": count}
    path = edited(corpus.run / "ledger.parquet", tmp_path / "a.parquet", metadata=told)
    assert "participants" in refused(lambda: read_ledger(path))


def test_a_ledger_with_a_class_below_zero(corpus: Corpus, tmp_path: Path) -> None:
    source = corpus.run / "ledger.parquet"
    rows = pq.read_metadata(source).num_rows
    path = edited(source, tmp_path / "a.parquet", label=pa.array([-1] * rows, pa.int64()))
    assert "class below 0" in refused(lambda: read_ledger(path))


def test_membership_whose_columns_are_not_utf8_or_not_flat(tmp_path: Path) -> None:
    lines = tmp_path / "a.csv"
    lines.write_bytes(b"record,memb\xff\n1,true\n")
    assert "column names are not UTF-8" in refused(lambda: read_membership(lines))
    table = pa.table({"record": [1], "member": pa.array([{"a": 1}])})
    (tmp_path / "a.parquet").write_bytes(tables.written(table))
    assert "true or false" in refused(lambda: read_membership(tmp_path / "a.parquet"))


def test_scores_and_traces_of_other_types(corpus: Corpus, tmp_path: Path) -> None:
    scores, path = corpus.first("scores/*/*/loss.parquet"), tmp_path / "a.parquet"
    rows = pq.read_metadata(scores).num_rows
    for column in (["x"] * rows, [[1.0]] * rows, [None] * rows):
        edited(scores, path, seed_0=pa.array(column))
        assert "one column seed_0 of double" in refused(lambda: read_scores(path))
    trace = corpus.first("traces/*/*/*/*.parquet")
    rows = pq.read_metadata(trace).num_rows
    edited(trace, path, value=pa.array([[1.0] * n for n in range(rows)], pa.list_(pa.float64())))
    assert "rows that are no signal" in refused(lambda: read_trace(path))
    edited(trace, path, round=pa.array(["x"] * rows))
    assert "one column round of int64" in refused(lambda: read_trace(path))


def test_scores_that_say_nonsense_of_their_making(
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    scores, path = corpus.first("scores/*/*/loss.parquet"), tmp_path / "a.parquet"
    for told in (b"[" * 100_000, b"[]", b"x"):
        edited(scores, path, metadata={b"fedsim-made-from": told})
        assert "does not say what it was made from" in refused(lambda: made_from(path))
    edited(scores, path, metadata={b"fedsim-made-from": b'{"overlapping records": "x"}'})
    assert "says 'x' for overlapping records" in refused(lambda: overlapping(path))


def reheaded(source: Path, path: Path, key: str, **changes: Any) -> Path:
    """Write a file of tensors with other values in the JSON of its metadata."""
    header, data = tensors.opened(source.read_bytes())
    told = json.loads(header["__metadata__"][key])
    header["__metadata__"] = {key: json.dumps({**told, **changes})}
    path.write_bytes(tensors.closed(header, data))
    return path


CHECKPOINT = "fedsim-checkpoint-2"


@pytest.mark.parametrize(
    "changes",
    [
        {"round": "1"},
        {"round": -1},
        {"history": [{"round": "x"}]},
        {"history": [{"round": 1, "test_loss": "x"}]},
        {"records": [[1, "a", "config", {"x": 1}]]},
        {"records": [[1, "a", "config", {"dict": 3}]]},
        {"records": [[1, "a", "config", {"dict": {"x": {"bytes": "a"}}}]]},
        {"records": 7},
        {"arrays": {"a": 1}},
        {"strategy": [1]},
        {"strategy": None},
    ],
    ids=str,
)
def test_a_checkpoint_with_another_header(
    changes: dict[str, Any],
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    source = corpus.first("federations/honest/checkpoint.safetensors")
    path = reheaded(source, tmp_path / "a", CHECKPOINT, **changes)
    assert f"the checkpoint {path} cannot be read" in refused(lambda: Checkpoint.load(path))


@pytest.mark.parametrize(
    "name", ["aggregate_train", "train_metrics_aggr_fn", "__class__", "__dict__", "a/b"]
)
def test_a_checkpoint_puts_nothing_in_place_of_what_a_strategy_does(
    name: str,
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    source = corpus.first("federations/honest/checkpoint.safetensors")
    found = Checkpoint.load(reheaded(source, tmp_path / "a", CHECKPOINT, strategy={name: 1}))
    strategy = build_strategy("FedAvg", {}, 3)
    assert "cannot be put back" in refused(lambda: found.restore(strategy))
    assert callable(strategy.aggregate_train)


def test_features_with_another_header_or_other_rows(
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    source, path = corpus.first("features/*/*/*.safetensors"), tmp_path / "a"
    for told in ("{", "[" * 100_000, "{}", '{"layers": 3, "unfoldings": []}'):
        header, data = tensors.opened(source.read_bytes())
        header["__metadata__"] = dict.fromkeys(header["__metadata__"], told)
        path.write_bytes(tensors.closed(header, data))
        assert "delete it to extract them again" in refused(lambda: load_features(path))
    header, data = tensors.opened(source.read_bytes())
    rows, columns = header["logits"]["shape"]
    header["logits"]["shape"] = [columns, rows]
    path.write_bytes(tensors.closed(header, data))
    assert "differ in their number of rows" in refused(lambda: load_features(path))
    header, data = tensors.opened(source.read_bytes())
    header["logits"] |= {"dtype": "BF16", "shape": [rows, 2 * columns]}  # NumPy has no such type
    path.write_bytes(tensors.closed(header, data))
    assert "features cannot be read" in refused(lambda: load_features(path))
    assert stated_spec(path) is not None


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_weights_of_a_type_that_no_model_has(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = {"w": {"dtype": dtype, "shape": [4], "data_offsets": [0, 4]}}
    path.write_bytes(tensors.closed(header, b"\0" * 4))
    assert "of type torch.float8" in refused(lambda: read_weights(path))
    assert "is not a safetensors file" in refused(lambda: read_weights(Path("/")))


def test_histories_of_figures_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for rounds in (
        [{"round": 1, "test_accuracy": "x"}],
        [{"round": 1, "test_accuracy": 2}],
        [{"round": 1, "test_accuracy": True}],
        [{"round": 1, "others": 3}],
        [{"round": 1, "speed": 3.0}],
        [{"round": 0}],
        [{"test_loss": 1.0}],
        [7],
        {},
    ):
        path.write_text(json.dumps({"schema": 1, "taken_over": 0, "rounds": rounds}))
        assert "run the federation to its end first" in refused(lambda: read_history_file(path))
        assert read_taken_over(path) == 0


def test_provenance_is_texts_whatever_it_holds(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.provenance.write_text(json.dumps({"versions": {"torch": {"a": [1]}, "x": None}}))
    assert flat_provenance(run)["torch version"] == "{'a': [1]}"
    run.provenance.write_text("[" * 100_000)
    assert flat_provenance(run) == {"commit": "None"}


def archive(path: Path, size: bytes, kind: bytes = tarfile.REGTYPE, name: str = "bangkok") -> Path:
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[124:136], header[148:156] = size, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    path.write_bytes(gzip.compress(bytes(header) + b"\0" * 2048))
    return path


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"77777777777\0", b"\x80" + b"\0" * 3 + b"\xff" * 8]
)
def test_an_archive_that_states_an_impossible_size(size: bytes, tmp_path: Path) -> None:
    assert "states a size of" in refused(
        lambda: Location30.decode(archive(tmp_path / "a.tgz", size))
    )


def test_an_archive_that_ends_long_before_its_size(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", b"37777777777\0", name="tokyo")
    assert "ends in the middle" in refused(lambda: Location30.decode(path))


def test_an_image_that_pillow_gives_up_on(tmp_path: Path) -> None:
    sink, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("a", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    Image.new("RGB", (32, 32)).save(sink, "PNG", pnginfo=notes)
    assert "not a sound PNG" in refused(lambda: pixels([{"bytes": sink.getvalue()}], "x"))
    assert "not a sound PNG" in refused(lambda: pixels([{}], "x"))


def test_a_cached_array_of_any_bytes_is_built_again(tmp_path: Path) -> None:
    place, made = SourceLocation(tmp_path), []

    def decode() -> Arrays:
        made.append(1)
        return toys.blobs(20)

    for content in (*npy.STRANGERS, npy.headed("(" * 9000, b""), npy.headed("'", b"")):
        load_or_decode(place, "toy", decoder=1, source="s", decode=decode)
        (entry,) = tmp_path.glob("toy-*")
        (entry / "features.npy").write_bytes(content)
        made.clear()
        assert load_or_decode(
            place, "toy", decoder=1, source="s", decode=decode
        ).features.shape == (20, 12)
        assert made == [1]


@pytest.mark.parametrize(
    "more",
    [
        {"num_classes": "3"},
        {"num_classes": 10**12},
        {"mean": 1.0, "std": 1.0},
        {"mean": ("a", "b"), "std": (1.0, 1.0)},
        {"class_names": 3},
        {"class_names": (1, 2, 3)},
    ],
    ids=str,
)
def test_arrays_of_a_users_own_with_odd_extras(more: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Arrays(np.ones((3, 2), np.float32), np.arange(3), **more)


@pytest.mark.parametrize(
    "data",
    [
        *npy.STRANGERS,
        npy.headed("(" * 9000, b""),
        npy.headed("{'descr': '<f4'", b""),
        npy.headed("{'descr': 1, 'fortran_order': False, 'shape': ()}", b""),
        npy.headed(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**63},)}}", b""),
        npy.headed("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
    ],
)
def test_what_a_participant_sends_for_an_array(data: bytes) -> None:
    arrays = ArrayRecord({"w": Array("float32", (1,), "numpy.ndarray", data)})
    assert "cannot be read" in refused(lambda: require_readable(arrays, "participant 1"))


@pytest.mark.parametrize("kind", [">f4", "f16", "c8", "u8", "S3", "M8[s]"])
def test_numbers_that_torch_does_not_take(kind: str) -> None:
    content = npy.encoded(np.zeros(2, kind))
    arrays = ArrayRecord({"w": Array("float32", (2,), "numpy.ndarray", content)})
    assert "not as declared" in refused(lambda: require_readable(arrays, "participant 1"))


def test_an_array_by_columns_is_read_as_it_was_meant() -> None:
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    found = decoded_array(Array("float64", (2, 3), "numpy.ndarray", npy.encoded(values)))
    assert found.tolist() == values.tolist()


@pytest.mark.parametrize("value", [-1, -0.5, [1, 2], 10**400, float("nan"), [float("inf")]])
def test_weights_that_no_mean_can_be_taken_with(value: Any) -> None:
    content = RecordDict({"m": MetricRecord({"num-examples": value})})
    with pytest.raises(MessageError, match="participant 1 sent the metric 'num-examples' as"):
        require_finite(content, "participant 1")


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("value", [True, 0, -1, 10**30])
def test_rounds_that_are_none(value: int) -> None:
    message = Message(RecordDict({"c": ConfigRecord({"server-round": value})}), 9, "train")
    with pytest.raises(MessageError, match="does not say its round"):
        round_of(message)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 10**400])
def test_a_proximal_term_that_is_none(value: float) -> None:
    message = Message(RecordDict({"c": ConfigRecord({"proximal-mu": value})}), 9, "train")
    with pytest.raises(MessageError, match="the server sent 'proximal-mu' as"):
        proximal_of(message)


def test_a_snapshot_with_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    arrays = ArrayRecord({"\ud800": Array(np.ones(1, np.float32))})
    with pytest.raises(SnapshotError, match="cannot store the snapshot of participant-1"):
        CuriousServer().keep_in(tmp_path).receive(1, 1, arrays)
    assert not list(tmp_path.iterdir())
