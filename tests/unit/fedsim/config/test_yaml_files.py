"""YAML is read as another reader reads it, and within bounds; what is written is read alike."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedsim.config.loading import read_experiment
from fedsim.config.yaml_files import MOST_YAML_VALUES, format_yaml, parse_yaml, read_yaml_mapping
from fedsim.errors import ConfigError
from fedsim.studies.cells import expand
from fedsim.studies.definition import load_study

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = sorted(
    [
        *(ROOT / "configs").rglob("*.yaml"),
        ROOT / "fedsim" / "studies" / "references.yaml",
        ROOT / "docs" / "settings-words.yaml",
    ]
)


class OtherReader(yaml.SafeLoader):
    """PyYAML, which reads YAML 1.1, with the numbers of YAML 1.2."""


OtherReader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_reads_as_another_reader_has_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert parse_yaml(text, "x") == yaml.load(text, Loader=OtherReader)  # noqa: S506 - it is safe


def test_the_text_of_an_experiment_is_what_another_writer_makes_of_it() -> None:
    """A cell's run is found by that text: the same experiment must be written the same for good."""
    path = ROOT / "configs" / "studies" / "table-12-observed-rounds.yaml"
    for cell in expand(load_study(path), path, "paper"):
        tree = cell.experiment.plain()
        other = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1 << 20)
        assert cell.experiment.resolved() == other


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5E4", 5e4),
        ("010", 10),
        ("0o10", 8),
        ("1:30", "1:30"),
        ("no", "no"),
        ("false", False),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("'1e-4'", "1e-4"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(text, "x")
    assert found == value
    assert type(found) is type(value)
    assert parse_yaml(format_yaml({"a": found}), "x") == {"a": found}


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "\u2029", "a: b # c", "1e5", "- x", "yes"])
def test_a_text_stays_the_text_that_it_is(text: str) -> None:
    for tree in (text, [text], {text: text}, {"a": {"b": [text, {"c": text}]}}):
        assert parse_yaml(format_yaml(tree), "x") == tree


def test_keys_stay_in_their_order_and_long_texts_on_their_line() -> None:
    tree = {"z": 1, "a": "https://example.org/" + 90 * "x", "m": 30 * "two words "}
    written = format_yaml(tree)
    assert len(written.splitlines()) == 3
    assert list(parse_yaml(written, "x")) == ["z", "a", "m"]


def test_an_anchor_may_be_used_again() -> None:
    assert parse_yaml("a: &x 1\nb: &x 2\nc: *x", "s") == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: 1\nb:\n  c: 1\n  c: 2",
            'found duplicate key "c" with value "2" (original value: "1")',
        ),
        ("a: 1\na: 2", "in line 2, column 1"),
        ("a: [1", "expected ',' or ']'"),
        ("a: &x [*x]", "a value holds itself: it is not plain finite data"),
        ("[" + "1," * MOST_YAML_VALUES + "1]", "it holds more than 100,000 values"),
        ("a:\n  " + 4_000 * "[", "it is nested too deeply in line 2, column 103"),
        ("a: *nowhere", "found undefined alias"),
        ("--- 1\n--- 2", "but found another document"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
        ("a: !!python/name:os.system", "could not determine a constructor for the tag"),
    ],
)
def test_what_is_no_yaml_is_one_sentence_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "some.yaml")
    assert str(error.value).startswith("some.yaml is not valid YAML: ")
    assert told in str(error.value)
    assert "suppress" not in str(error.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="a study is a mapping with keys a, b"):
        read_yaml_mapping(path, "a study", ["b", "a"])
    with pytest.raises(ConfigError, match=r"cannot read the study .*nothing"):
        read_yaml_mapping(tmp_path / "nothing", "a study", [])


def test_a_resolved_experiment_is_a_valid_one(tmp_path: Path) -> None:
    for config in (ROOT / "configs").glob("*.yaml"):
        text = read_experiment(config).resolved()
        tree: Any = parse_yaml(text, "x")
        assert json.loads(json.dumps(tree)) == yaml.load(text, Loader=OtherReader)  # noqa: S506
        (tmp_path / config.name).write_text(text)
        assert read_experiment(tmp_path / config.name).resolved() == text


def test_of_a_run_directory_the_experiment_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("seed: 1")
    with pytest.raises(ConfigError, match=r"the experiment of that run is .*experiment\.yaml$"):
        read_yaml_mapping(tmp_path, "an experiment", ["seed"])
