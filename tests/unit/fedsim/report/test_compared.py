"""Comparing runs: who is the reference, what is paired, and the file formats."""

import csv
import io
import json

import example_report
import pytest
from rich.console import Console

from fedsim.report.compared import compared_rows, compared_table, differences
from fedsim.report.formats import FORMATS
from fedsim.report.words import probability, signed

RUNS = {"runs/a": 0, "runs/b": 1}
SERVER = ("curious-server", "supervised")


@pytest.fixture(scope="module")
def rows():
    verdicts = {
        (run, *who): verdict
        for run, seed in RUNS.items()
        for who, verdict in example_report.verdicts(seed).items()
        if who[1] in ("supervised", "loss")
    }
    found = differences(verdicts, dict.fromkeys(RUNS, "cifar100"), seed=1, resamples=200)
    results = {run: example_report.results(seed) for run, seed in RUNS.items()}
    return compared_rows(results, found)


def test_the_first_contender_of_an_attack_is_its_reference(rows):
    supervised = [row for row in rows if row.result.attack == "supervised"]
    assert [(row.run, row.result.adversary) for row in supervised] == [
        ("runs/a", "curious-server"),
        ("runs/a", "curious-participant"),
        ("runs/b", "curious-server"),
        ("runs/b", "curious-participant"),
    ]
    assert supervised[0].difference is None
    for row in supervised[1:]:
        assert row.difference.auc.value == pytest.approx(row.result.auc - supervised[0].result.auc)
    assert supervised[1].difference.auc.high < 0  # planted: the participant is weaker


def test_other_data_sets_are_never_paired():
    verdict = example_report.verdicts()[SERVER]
    contenders = {("runs/a", *SERVER): verdict, ("runs/b", *SERVER): verdict}
    same = differences(contenders, {"runs/a": "x", "runs/b": "x"}, seed=1, resamples=50)
    other = differences(contenders, {"runs/a": "x", "runs/b": "y"}, seed=1, resamples=50)
    assert same["runs/b", *SERVER].pairing == "paired"
    assert other["runs/b", *SERVER].pairing == "unpaired"
    assert same["runs/b", *SERVER].auc.p == 1


def test_json_and_csv_hold_the_same_tidy_rows(rows):
    records = json.loads(FORMATS["json"](rows))
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](rows))))
    assert len(records) == len(lines) == 4 * len(rows)  # accuracy, AUC, two TPRs
    for record, line in zip(records, lines, strict=True):
        assert {key: "" if value is None else str(value) for key, value in record.items()} == line
    first, second = (r for r in records[:8] if r["metric"] == "auc")
    assert first["difference"] is first["p"] is first["pairing"] is None
    assert second["difference"] == pytest.approx(second["value"] - first["value"])
    assert second["difference_low"] <= second["difference"] <= second["difference_high"]
    assert second["pairing"] == "partly paired"


def test_markdown_escapes_names(rows):
    text = FORMATS["markdown"]([renamed(rows[0], "a|b*c\nd")])
    heading, rule, line = text.splitlines()
    assert heading.count("|") == rule.count("|") == line.replace("\\|", "").count("|")
    assert "a\\|b\\*c d" in line


def test_latex_escapes_names(rows):
    text = FORMATS["latex"]([renamed(rows[0], r"50%_\x{}")])
    assert r"50\%\_\textbackslash{}x\{\}" in text
    assert text.startswith(r"\begin{tabular}{lll")
    assert text.count(r"\\") == 2


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(rows, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(compared_table(rows))
    text = console.file.getvalue()
    assert "4  runs/b · curious-participant  partly paired with the first" in text
    difference = next(r for r in rows if r.difference and r.result.attack == "supervised")
    value = signed(difference.difference.auc.value)
    assert any(
        value in line and probability(difference.difference.auc.p) in line
        for line in text.splitlines()
    )
    assert "…" not in text


def renamed(row, attack):
    result = row.result.model_copy(update={"attack": attack})
    return type(row)(row.run, result, row.difference)
