"""Two runs that differ in their seed are compared like with like, in every form."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import toys
import yaml
from typer.testing import CliRunner

from fedsim.api import report, run
from fedsim.cli.app import app
from fedsim.errors import RunDirectoryError
from fedsim.report.comparison_page import render_comparison
from fedsim.report.defence_effects import defence_effect_lines
from fedsim.report.formatting import area, signed
from fedsim.rundir import RunDirectory
from fedsim.stages import compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the toy run, and one of another seed."""
    folder = tmp_path_factory.mktemp("compared")
    for name, seed in {"a": 3, "b": 4}.items():
        run(toys.experiment(seed=seed), folder / name)
    return [folder / "a", folder / "b"]


def printed(runs: list[Path], form: str) -> str:
    said = CliRunner().invoke(app, ["compare", *map(str, runs), "--format", form])
    assert said.exit_code == 0
    return said.stdout


def test_every_adversary_is_compared_with_itself_in_the_first_run(runs: list[Path]) -> None:
    rows = compare.compare_runs(runs)
    assert {row.like_with_like for row in rows if row.run == "b"} == {True}
    for record in json.loads(printed(runs, "json")):
        if record["run"] == "b":
            assert record["reference_run"] == "a"
            assert record["reference_adversary"] == record["adversary"]


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "latex"])
def test_no_form_ends_with_an_empty_line(runs: list[Path], form: str) -> None:
    text = printed(runs, form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    if form == "csv":
        assert len(list(csv.reader(text.splitlines()))) == len(text.splitlines())


def test_the_page_says_what_each_row_is_compared_with(runs: list[Path]) -> None:
    data = compare.comparison(runs)
    assert ">against</button>" in render_comparison(data)
    assert data.settings == [("seed", ["3", "4"])]


def test_results_of_other_attacks_than_the_scores_are_one_sentence(
    runs: list[Path], tmp_path: Path
) -> None:
    old = shutil.copytree(runs[0], tmp_path / "old")
    results = json.loads((old / "results.json").read_text())
    kept = [row for row in results["results"] if row["adversary"] != "curious-participant"]
    (old / "results.json").write_text(json.dumps(results | {"results": kept}))
    for compared in (compare.compare_runs, compare.comparison):
        with pytest.raises(RunDirectoryError) as caught:
            compared([runs[1], old])
        assert str(caught.value) == (
            f"{old / 'results.json'} is of other attacks than the scores beside it; run `fedsim "
            f"report {old}` and compare again"
        )
    report(old)
    assert compare.comparison([runs[1], old]).rows


def test_settings_are_spelled_as_in_the_experiment(tmp_path: Path) -> None:
    trees = {
        "a": {"limit": None, "paired": True, "rounds": [1, None], "none": [], "only": 1},
        "b": {"limit": 0.5, "paired": False, "rounds": [2], "none": [3]},
    }
    for name, tree in trees.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    found = compare._settings({name: RunDirectory.existing(tmp_path / name) for name in trees})
    assert list(found) == [
        ("limit", ["null", "0.5"]),
        ("paired", ["true", "false"]),
        ("rounds", ["1, null", "2"]),
        ("none", ["[]", "3"]),
        ("only", ["1", "–"]),  # noqa: RUF001 a dash
    ]


def test_what_a_defence_took_is_told_in_either_order(tmp_path: Path) -> None:
    for name, defences in {"open": [], "defended": [{"name": "top-k", "share": 0.01}]}.items():
        toy = toys.experiment(attacks=["loss", "gradient-norm", "label"], defences=defences)
        run(toy, tmp_path / name)
    both = [tmp_path / "defended", tmp_path / "open"]
    rows = compare.compare_runs(both)
    assert {row.reference.run for row in rows if row.run == "defended" and row.reference} == {
        "open"
    }
    lines = defence_effect_lines(rows)
    assert lines == defence_effect_lines(compare.compare_runs(both[::-1]))
    assert len(lines) == 2
    for line, adversary in zip(lines, ("curious-server", "curious-participant"), strict=True):
        own = [row for row in rows if row.result.adversary == adversary and row.run == "defended"]
        aucs = {r.result.attack: r.reference.result.auc.value for r in own if r.reference}
        strongest = max(("loss", "gradient-norm", "label"), key=lambda attack: aucs[attack])
        (row,) = (one for one in own if one.result.attack == strongest)
        assert row.difference is not None
        assert line.startswith(f"defended against open, {adversary}, {strongest}: ")
        before, after = area(aucs[strongest]), area(row.result.auc.value)
        assert f"AUC {before} to {after}, {signed(row.difference.auc.value)} (" in line
