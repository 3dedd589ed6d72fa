"""A quick share of the values that `benchmarks/fuzz.py` gives to every setting, always the same."""

import pytest

from fedsim import plugins
from fuzz.corpus import Corpus
from fuzz.harness import limited_memory, run
from fuzz.subjects.values import GROUPS, ValuesOfSettings
from fuzz.values.places import GROUP_PATHS, plugin_places, section_places

VALUES = 8
LEFT_OUT = {"datasets", "attacks"}  # they take longest: the benchmark has them


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in LEFT_OUT])
def test_a_value_is_refused_in_one_sentence_or_round_1_begins(group: str, corpus: Corpus) -> None:
    subject = ValuesOfSettings(group, corpus.folder)
    with limited_memory():
        tally = run(subject, corpus.folder, seed=0, first=0, count=VALUES)
    assert not tally.defects, tally.defects[0]
    assert sum(tally.counts.values()) == VALUES


def test_every_group_of_plugins_has_its_place() -> None:
    assert set(GROUP_PATHS) == set(plugins.GROUPS)
    for group in plugins.GROUPS:
        assert any(plugin_places(group, name) for name in plugins.available(group))


def test_settings_inside_of_settings_are_found() -> None:
    inside = {place.path[2:] for place in plugin_places("attacks", "supervised")}
    assert {("training", "epochs"), ("network", "kernels"), ("inputs", "outputs")} <= inside
    paths = {place.path for place in section_places()}
    assert {("federation", "local", "epochs"), ("snapshots", "rounds", "every")} <= paths
    assert ("adversaries", 0, "together", 0, "name") in paths
