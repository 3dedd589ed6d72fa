"""Properties that hold of whatever hypothesis thinks of, beside what the mutators think of."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedsim.config.loading import experiment_of_tree, read_experiment
from fedsim.config.yaml_files import format_yaml, parse_yaml
from fedsim.errors import FedsimError
from fedsim.files import parsed_json, read_bytes, write_json
from fedsim.report.results_file import parse_results
from fedsim.stages.simulation.history import read_history_file
from fedsim.transport.messages import require_finite, require_usable
from fedsim.transport.npy_decoding import decode_array
from fuzz.harness import unclear
from fuzz.mutators import npy

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.from_regex(
    r"\A[-+]?[0-9]{1,3}(\.[0-9]{0,2})?[eE][-+]?[0-9]{1,2}\Z"
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside),
    max_leaves=12,
)


def refused_clearly(error: FedsimError) -> None:
    assert unclear(str(error)) is None


@QUICK
@given(st.text(), st.text(max_size=3000))
def test_every_sentence_is_one_readable_line(first: str, second: str) -> None:
    said = str(FedsimError(f"a{first} is no {second}"))
    assert unclear(said) is None
    assert said.startswith("a")


@QUICK
@given(PLAIN)
def test_any_plain_data_is_an_experiment_or_refused(tree: Any) -> None:
    try:
        experiment_of_tree(tree if isinstance(tree, dict) else {"data": tree}, "x")
    except FedsimError as error:
        refused_clearly(error)


@QUICK
@given(st.sampled_from(sorted(toys.tree())), PLAIN)
def test_any_section_may_hold_any_plain_data(section: str, content: Any) -> None:
    try:
        experiment_of_tree({**toys.tree(), section: content}, "x")
    except FedsimError as error:
        refused_clearly(error)


@QUICK
@given(st.text(max_size=200))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        parse_yaml(text, "x")
    except FedsimError as error:
        refused_clearly(error)


@QUICK
@given(PLAIN)
@example({"\x85": ["a\u2028b", "\u2029"]})
def test_what_is_written_as_yaml_is_read_as_it_was(tree: Any) -> None:
    assert parse_yaml(format_yaml(tree), "x") == tree


@QUICK
@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused(tmp_path: Path, override: str) -> None:
    path = tmp_path / "a.yaml"
    if not path.is_file():
        path.write_text(json.dumps(toys.tree()))
    try:
        read_experiment(path, [override])
    except FedsimError as error:
        refused_clearly(error)


@QUICK
@given(st.binary(max_size=300) | PLAIN.map(lambda tree: json.dumps(tree).encode()))
def test_any_bytes_are_results_or_refused(content: bytes) -> None:
    try:
        parse_results(content, "x")
    except FedsimError as error:
        refused_clearly(error)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_are_json_or_a_value_error(content: bytes) -> None:
    with suppress(ValueError):
        parsed_json(content)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ACCURACIES = st.none() | st.floats(0, 1)
FIGURES = st.fixed_dictionaries(
    {"local_loss": st.none() | NUMBERS, "train_loss": st.none() | NUMBERS},
    optional={"test_accuracy": ACCURACIES, "train_accuracy": ACCURACIES},
)


@QUICK
@given(st.lists(FIGURES, max_size=5), st.integers(0, 5))
def test_a_sound_history_is_read_exactly(
    tmp_path: Path, figures: list[dict[str, Any]], taken_over: int
) -> None:
    rounds = [{"round": number, **figure} for number, figure in enumerate(figures, start=1)]
    path = tmp_path / "history.json"
    write_json(path, {"schema": 1, "taken_over": taken_over, "rounds": rounds})
    found = read_history_file(path)
    assert found.taken_over == taken_over
    assert [f.plain() for f, r in zip(found.rounds, rounds, strict=True)] == (rounds)


@QUICK
@given(
    hnp.arrays(
        st.sampled_from(
            [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_an_array_is_read_as_numpy_reads_it(values: np.ndarray, by_column: bool) -> None:
    stored = np.asfortranarray(values) if by_column and values.ndim else values
    array = Array(str(values.dtype), values.shape, "numpy.ndarray", npy.encoded(stored))
    np.testing.assert_array_equal(decode_array(array), array.numpy(), strict=True)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        require_usable(ArrayRecord({"w": array}), {"w": values.shape}, "x")


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_an_array_or_refused(content: bytes) -> None:
    for data in (content, b"\x93NUMPY\x01\x00" + content, npy.headed(repr(content), content)):
        arrays = ArrayRecord({"w": Array("float32", (2,), "numpy.ndarray", data)})
        with pytest.raises(FedsimError) as error:
            require_usable(arrays, {"w": (2,)}, "participant 1")
        refused_clearly(error.value)


@QUICK
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | st.lists(st.floats())))
def test_metrics_pass_exactly_if_they_are_finite(metrics: dict[str, Any]) -> None:
    content = RecordDict({"m": MetricRecord(metrics)})
    numbers = [n for v in metrics.values() for n in (v if isinstance(v, list) else [v])]
    sound = all(math.isfinite(number) for number in numbers if isinstance(number, float))
    try:
        require_finite(content, "participant 1")
    except FedsimError as error:
        refused_clearly(error)
        sound = not sound or "num-examples" in metrics or any(abs(n) > 1e299 for n in numbers)
    assert sound


@QUICK
@given(st.integers(0, 40), st.integers(0, 40))
def test_a_file_is_read_up_to_a_size_and_not_beyond(tmp_path: Path, size: int, most: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    if size <= most:
        assert read_bytes(path, most) == b"x" * size
    else:
        with pytest.raises(OSError, match="larger than"):
            read_bytes(path, most)
