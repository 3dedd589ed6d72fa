"""Each promise of an attack, broken by one that breaks just this, and found."""

from pathlib import Path

import broken_plugins
import pytest

from fedsim.conformance import CheckStatus, attack_checks, check_adversary, check_attack, identified
from fedsim.conformance.attack_trial import AttackTrial
from fedsim.conformance.checklist import Failed
from fedsim.errors import PluginError


@pytest.mark.parametrize(
    ("plugin", "check", "told"),
    [
        ("Short", "scores_all", r"^score\(\) returned shape \(359,\) for 360 candidates"),
        ("Infinite", "scores_all", "not finite numbers$"),
        ("Unseeded", "repeats", "^called again, it scores 360 of 360 records; every draw"),
        ("Secretive", "is_stochastic_as_it_says", "but `stochastic` is False"),
        ("Unsorted", "ignores_order", "in another order: .* of 360 records scored otherwise"),
        ("Peeping", "ignores_the_split", "view.dataset.test shows which records cannot be members"),
        ("Meddling", "leaves_things_alone", r"^score\(\) changes known.member in place"),
        ("Insider", "finds_nothing_in_nothing", "never trained 1.000, .* that no model shows$"),
        ("InSample", "is_cross_fitted", "AUC on known records with shuffled truth 0.[78]"),
    ],
)
def test_a_broken_promise_is_found(plugin: str, check: str, told: str, tmp_path: Path) -> None:
    attempt = AttackTrial(f"broken_plugins:{plugin}", {}, tmp_path)
    with pytest.raises(Failed, match=told) as found:
        getattr(attack_checks, check)(attempt)
    assert "\n" not in str(found.value)


def test_an_honest_one_passes_and_finds_what_was_planted() -> None:
    checklist = check_attack(broken_plugins.Sure)
    checklist.require()
    planted = checklist.findings[-1]
    assert planted.status is CheckStatus.FIGURE
    assert planted.said.startswith("AUC 0.9")
    assert planted.said.endswith("better than chance")


def test_a_plugins_kind_is_found() -> None:
    assert identified("broken_plugins:Sure") == "attacks"
    assert identified("broken_plugins:Honest") == "adversaries"
    assert identified("loss") == "attacks"
    assert identified("curious-server") == "adversaries"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "there is no plugin 'nothing'; valid: a name of `fedsim list GROUP`"),
        ("broken_plugins:moved", "does not say what it is: it derives from no class of fedsim's"),
        ("nowhere:Thing", "cannot import plugin 'nowhere:Thing'"),
    ],
)
def test_what_is_no_plugin_is_one_sentence(name: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        identified(name)


def test_the_wrong_kind_and_a_wrong_setting_are_refused() -> None:
    with pytest.raises(PluginError, match="is one of the attacks, not of the adversaries"):
        check_adversary(broken_plugins.Sure)
    with pytest.raises(PluginError, match="unknown setting 'x'; valid: none"):
        check_attack(broken_plugins.Sure, x=1)
    with pytest.raises(PluginError, match=r"cannot be built: first must be at least 2, not 1"):
        check_adversary("isolating-server", first=1)


def test_what_is_made_inside_a_function_cannot_be_named() -> None:
    class Inner(broken_plugins.Sure):
        """Hidden."""

    with pytest.raises(PluginError, match="is made inside a function"):
        check_attack(Inner)
