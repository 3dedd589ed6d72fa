"""The page of settings is made from the classes: nothing is missing on it, and nothing is stale."""

import re

import pytest
from schema_words import default_in_words, type_in_words
from settings_tables import Words, page_of_settings, read_words
from snippets import ROOT

from fedsim import plugins
from fedsim.config.experiment import Experiment
from fedsim.config.federation import LocalTraining

DOCS = ROOT / "docs"
PAGE = DOCS / "settings.md"


@pytest.fixture(scope="module")
def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    words = read_words(DOCS / "settings-words.yaml")
    filled = page_of_settings(text, words)
    assert list(words.faults()) == []
    return filled


def section(page: str, heading: str) -> dict[str, tuple[str, ...]]:
    """Return what stands in the rows below a heading, by the name of the setting."""
    _, _, after = page.partition(f"\n### {heading}\n")
    below = re.split(r"\n##", after)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", below, flags=re.MULTILINE)
    return {name: tuple(rest) for name, *rest in rows}


def test_the_committed_page_is_not_stale(page: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == page, "run `make settings`, and commit the page"


def test_every_part_of_an_experiment_has_its_rows(page: str) -> None:
    assert section(page, "`federation.local`").keys() == LocalTraining.model_fields.keys()
    everything = page.partition("## The experiment")[2].partition("\n### ")[0]
    for name in Experiment.model_fields:
        assert f"| `{name}` |" in everything


def test_every_plugin_of_ours_has_a_section_with_its_settings(page: str) -> None:
    for group, kind in plugins.GROUPS.items():
        for name, point in plugins.available(group).items():
            if point.dist is None or point.dist.name != "fedsim":
                continue
            plugin = plugins.resolve(group, name)
            schema = plugins.settings_schema(plugin, kind.provided, kind.arguments)
            properties = schema.model_json_schema().get("properties", {})
            fixed = [setting for setting, of in properties.items() if "const" in of]
            # Two groups may have a plugin of one name: trainers and optimisers have an `sgd`.
            told: dict[str, tuple[str, ...]] = {}
            for part in page.split("\n## "):
                told |= section(f"\n{part}", f"`{name}`")
            assert f"\n### `{name}`\n" in page
            assert told.keys() >= schema.model_fields.keys() - {*kind.provided, *fixed}


def test_rows_say_what_is_taken_the_default_and_the_meaning(page: str) -> None:
    local = section(page, "`federation.local`")
    assert local["epochs"][:2] == ("a whole number above 0", "`1`")
    assert local["precision"][:2] == ("`fp32` or `bf16`", "`fp32`")
    assert section(page, "`federation`")["rounds"][1] == "must be given"
    ascent = section(page, "`gradient-ascent-server`")
    assert ascent["victims"][1] == "from the run"
    assert ascent["targets"] == (
        "a whole number or `null`",
        "`1000`",
        "How many targets a round has, one group after another; `null` takes all in each.",
    )
    supervised = section(page, "`supervised`")
    assert supervised["training"][0] == "[TrainingChanges](#trainingchanges) or `null`"
    assert section(page, "TrainingChanges")["epochs"][2].startswith("Epochs trained")
    assert section(page, "`shadow`")["inputs"] == supervised["inputs"]


def test_every_setting_has_a_meaning(page: str) -> None:
    assert " |  |\n" not in page


def test_missing_and_stale_words_are_told() -> None:
    words = Words({"seed": "All draws.", "sed": "A slip."})
    page_of_settings("<!-- settings: experiment -->\n<!-- end of settings -->", words)
    faults = list(words.faults())
    assert "neither a docstring nor settings-words.yaml says what federation.rounds means" in faults
    assert [fault for fault in faults if "tells of" in fault] == [
        "settings-words.yaml tells of sed, which needs no words, or is no setting"
    ]


@pytest.mark.parametrize(
    ("schema", "takes", "default"),
    [
        ({"type": "integer", "minimum": 2, "default": 3}, "a whole number from 2 on", "`3`"),
        ({"type": "boolean", "default": False}, "`true` or `false`", "`false`"),
        ({"type": "array", "items": {"type": "string"}, "default": []}, "a list of texts", "none"),
        (
            {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}], "default": None},
            "`a`, `b` or `null`",
            "`null`",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "number"}, "default": {}},
            "a mapping of rounds to a number",
            "none",
        ),
        ({"$ref": "#/$defs/Part", "default": {"x": 1}}, "a mapping", "see its own settings"),
    ],
)
def test_a_schema_in_words(schema: dict[str, object], takes: str, default: str) -> None:
    defs = {"Part": {"properties": {"x": {}}}}
    assert (type_in_words(schema, defs), default_in_words(schema)) == (takes, default)
