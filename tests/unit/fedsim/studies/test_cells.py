"""The grid: what a study file turns into, and everything that is refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_study import WriteStudy

from fedsim.errors import ConfigError
from fedsim.studies.cells import Cell, expand
from fedsim.studies.definition import load_study
from fedsim.studies.tables import check_coordinates


def cells_of(path: Path, scale: Any = "cpu", **more: Any) -> list[Cell]:
    return expand(load_study(path), path, scale, **more)


def test_every_combination_of_the_axes_is_a_cell(write_study: WriteStudy) -> None:
    axes = {
        "rate": {"fast": {"federation.local.learning_rate": 0.1}, "slow": {}},
        "participants": {"2": {"partition.participants": 2}, "3": {}},
    }
    path = write_study(axes=axes)
    toy = yaml.safe_load((path.parent / "toy.yaml").read_text())
    toy["adversaries"] = ["curious-server"]
    (path.parent / "toy.yaml").write_text(yaml.safe_dump(toy))
    cells = cells_of(path)
    assert [tuple(cell.coordinates.values()) for cell in cells] == [
        ("fast", "2"),
        ("fast", "3"),
        ("slow", "2"),
        ("slow", "3"),
    ]
    assert [cell.experiment.partition.participants for cell in cells] == [2, 3, 2, 3]
    assert cells[0].name == "fast, 2"


def test_a_later_change_replaces_the_whole_section_that_it_names(write_study: WriteStudy) -> None:
    fast, slow = (cell.experiment.federation.local for cell in cells_of(write_study()))
    assert (fast.batch_size, fast.learning_rate, fast.schedule) == (10, 0.1, {3: 0.05})
    assert (slow.batch_size, slow.learning_rate, slow.schedule) == (20, 0.01, {})


def test_a_scale_has_its_own_changes_and_axes(write_study: WriteStudy) -> None:
    (cell,) = cells_of(write_study(), "paper")
    assert cell.coordinates == {"rate": "fast"}
    assert cell.experiment.federation.rounds == 5


def test_the_base_may_be_another_file_for_each_scale_and_value(write_study: WriteStudy) -> None:
    path = write_study(
        base="{scale}.yaml",
        scales={"cpu": {}},
        axes={"data": {"one": {}, "other": {"base": "other.yaml"}}},
        tables=[],
    )
    toy = yaml.safe_load((path.parent / "toy.yaml").read_text())
    for name, seed in (("cpu", 8), ("other", 9)):
        (path.parent / f"{name}.yaml").write_text(yaml.safe_dump({**toy, "seed": seed}))
    assert [cell.experiment.seed for cell in cells_of(path)] == [8, 9]


def test_the_last_word_is_the_callers(write_study: WriteStudy) -> None:
    cells = cells_of(write_study(), overrides=["seed=7", "federation.local.learning_rate=0.3"])
    assert {cell.experiment.seed for cell in cells} == {7}
    assert {cell.experiment.federation.local.learning_rate for cell in cells} == {0.3}


def test_shortened_federations_observe_only_rounds_that_there_are(write_study: WriteStudy) -> None:
    path = write_study(changes={"federation.attendance": {"1": [0, 1, 2], "4": [0, 2]}})
    for rounds, observed, changes in ((3, (2,), [1]), (1, (1,), [1]), (9, (2, 4), [1, 4])):
        short = cells_of(path, rounds=rounds)[0].experiment
        assert short.federation.rounds == min(rounds, 4)
        assert short.observed_rounds == observed
        assert list(short.federation.attendance) == changes


def test_who_would_come_too_late_comes_in_the_last_round(write_study: WriteStudy) -> None:
    path = write_study(changes={"federation.attendance": {"1": [0], "3": [1], "4": [2]}})
    for rounds, changes in ((1, {1: (0, 1, 2)}), (2, {1: (0,), 2: (0, 1, 2)})):
        short = cells_of(path, rounds=rounds)[0].experiment
        assert short.federation.attendance == changes


def test_who_would_act_too_late_acts_in_the_last_round(write_study: WriteStudy) -> None:
    isolating = {"name": "isolating-server", "first": 4}
    ascent = {"name": "gradient-ascent-server", "first": 3, "last": 4}
    both = {"label": "both", "together": [isolating, ascent]}
    path = write_study(changes={"adversaries": ["curious-server", both]})
    (_, attacker) = cells_of(path, rounds=2)[0].experiment.adversaries
    assert attacker.label == "both"
    assert [one.settings for one in attacker.together] == [{"first": 2}, {"first": 2}]


def test_digests_tell_runs_and_federations_apart(write_study: WriteStudy) -> None:
    axes = {"known": {"10": {}, "8": {"audit.known_members": 8}, "again": {"seed": 3}}}
    ten, eight, again = cells_of(write_study(axes=axes, scales={"cpu": {}}, tables=[]))
    assert ten.digest == again.digest
    assert ten.digest != eight.digest
    assert ten.federation == eight.federation


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"objective": {"name": "multilabel"}},
        {"defences": [{"name": "clipped-updates", "max_norm": 1.0}]},
        {"model.widths": [8]},
    ],
)
def test_what_a_federation_computes_tells_it_apart(
    change: dict[str, Any], write_study: WriteStudy
) -> None:
    axes = {"what": {"plain": {}, "changed": change}}
    plain, changed = cells_of(write_study(axes=axes, scales={"cpu": {}}, tables=[]))
    assert plain.federation != changed.federation


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tabels": []}, "unknown key 'tabels'; valid keys there: about, axes, base, changes, compare"),
    ({"tables": [{"row": ["rate"]}]}, "'tables.0.row'; valid keys there: columns, metrics, only"),
    ({"tables": [{"rows": ["speed"]}]}, "no coordinate 'speed'; valid: adversary, attack, rate"),
    ({"tables": [{"rows": ["rate"], "metrics": ["aucc"]}]}, "there is no 'aucc' among the metrics"),
    ({"tables": [{"rows": ["rate"], "only": {"rate": ["mid"]}}]}, "axis 'rate' has no value 'mid'"),
    ({"axes": {"attack": {"a": {}}}}, "an axis cannot be called 'attack'"),
    ({"scales": {"gpu": {}}}, "scales.gpu"),
    ({"axes": {"rate": {"fast": {"federation.round": 3}}}}, "cell fast: .*'federation.round'"),
    ({"base": "nowhere.yaml"}, "cannot read the experiment"),
    ({"reference": {"table": "table Z"}}, "no reference figures 'table Z'; valid: table III"),
    (
        {"reference": {"table": "table X", "only": {"attack": ["nets"]}}},
        "reference: no cell has attack 'nets' at this scale; valid: gradient-norm, label, scalar",
    ),
    (
        {"tables": [{"rows": ["rate"], "only": {"attack": ["label"]}}]},
        "adversary 'curious-server' and 'curious-participant' fall into one place; show adversary",
    ),
    (
        {"compare": [{"along": "adversary", "pairs": [["curious-server", "spy"]]}]},
        "compare.0: no cell has adversary 'spy'",
    ),
    (
        {"figures": [{"kind": "line", "caption": "", "lines": "rate"}]},
        "`along` belongs to kind line",
    ),
]


@pytest.mark.parametrize(("keys", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_not_valid_is_one_sentence(
    write_study: WriteStudy, keys: dict[str, Any], sentence: str
) -> None:
    path = write_study(**keys)
    with pytest.raises(ConfigError, match=sentence) as refused:
        check_coordinates(load_study(path), cells_of(path))
    assert "\n" not in str(refused.value)


def test_a_pair_of_another_scale_is_left_out(write_study: WriteStudy) -> None:
    path = write_study(
        axes={},
        scales={
            "cpu": {"axes": {"rate": {"fast": {}, "slow": {"seed": 4}}}},
            "paper": {"axes": {"rate": {"fast": {}, "slower": {"seed": 5}}}},
        },
        compare=[{"along": "rate", "pairs": [["fast", "slow"], ["fast", "slower"]]}],
    )
    study = load_study(path)
    for scale in study.scales:
        check_coordinates(study, cells_of(path, scale))
    nowhere = load_study(write_study(compare=[{"along": "rate", "pairs": [["fast", "slowest"]]}]))
    with pytest.raises(ConfigError, match="no cell has rate 'slowest' at this scale"):
        check_coordinates(nowhere, cells_of(path))


def test_a_scale_that_the_study_has_not_is_refused(write_study: WriteStudy) -> None:
    path = write_study(scales={"cpu": {}})
    with pytest.raises(ConfigError, match="there is no scale 'paper'; valid: cpu"):
        cells_of(path, "paper")
