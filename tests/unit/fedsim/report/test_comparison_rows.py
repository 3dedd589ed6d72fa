"""Comparing runs: who is the reference, what is paired, and the file formats."""

import csv
import io
import json
import re
from dataclasses import replace

import example_report
import pytest
from rich.console import Console

from fedsim.report.comparison_rows import (
    compared_rows,
    contenders_of,
    differences,
    reference_name,
    references,
)
from fedsim.report.comparison_table import ComparedTable
from fedsim.report.formats import FORMATS
from fedsim.report.formatting import probability, signed

RUNS = {"runs/a": 0, "runs/b": 1}
SERVER = ("curious-server", "supervised")


@pytest.fixture(scope="module")
def rows():
    evaluation_results = {
        (run, *who): evaluation_result
        for run, seed in RUNS.items()
        for who, evaluation_result in example_report.evaluation_results(seed).items()
        if who[1] in ("supervised", "loss")
    }
    found = differences(evaluation_results, dict.fromkeys(RUNS, "cifar100"), seed=1, resamples=200)
    results = {run: example_report.results(seed) for run, seed in RUNS.items()}
    return compared_rows(results, found)


def test_an_adversary_is_compared_with_itself_in_another_run(rows):
    supervised = [row for row in rows if row.result.attack == "supervised"]
    assert [(row.run, row.result.adversary) for row in supervised] == [
        ("runs/a", "curious-server"),
        ("runs/a", "curious-participant"),
        ("runs/b", "curious-server"),
        ("runs/b", "curious-participant"),
    ]
    assert supervised[0].difference is supervised[0].reference is None
    for row, against in zip(supervised[1:], (0, 0, 1), strict=True):
        reference = supervised[against]
        assert row.reference.contender == reference.contender
        assert row.difference.auc.value == pytest.approx(
            row.result.auc.value - reference.result.auc.value
        )
    assert [row.like_with_like for row in supervised] == [False, False, True, True]
    names = [reference_name(row) for row in supervised]
    assert names == ["", "curious-server", "runs/a", "runs/a"]
    assert supervised[1].difference.auc.high < 0  # planted: the participant is weaker


def test_what_no_earlier_run_has_is_compared_with_the_first_of_its_attack():
    server, isolating = "curious-server", "isolating-server"
    found = references(
        [
            *(("a", server, "loss"), ("b", isolating, "loss"), ("b", isolating, "label")),
            *(("c", server, "loss"), ("c", isolating, "loss"), ("c", isolating, "label")),
        ]
    )
    assert found == {
        ("b", isolating, "loss"): ("a", server, "loss"),
        ("c", server, "loss"): ("a", server, "loss"),
        ("c", isolating, "loss"): ("b", isolating, "loss"),
        ("c", isolating, "label"): ("b", isolating, "label"),
    }


def test_a_reference_that_has_no_row_is_not_told(rows):
    evaluation_results = {
        (run, *SERVER): example_report.evaluation_results(seed)[SERVER]
        for run, seed in RUNS.items()
    }
    found = differences(evaluation_results, dict.fromkeys(RUNS, "x"), seed=1, resamples=50)
    (row,) = (
        row
        for row in compared_rows({"runs/b": example_report.results(1)}, found)
        if row.contender == ("runs/b", *SERVER)
    )
    assert row.difference is row.reference is None


def test_contenders_are_called_what_tells_them_apart(rows):
    both = contenders_of(rows)
    assert list(both.values())[1] == "runs/a · curious-participant"
    first = [row for row in rows if row.run == "runs/a"]
    assert set(contenders_of(first).values()) == {"curious-server", "curious-participant"}
    servers = [row for row in rows if row.result.adversary == "curious-server"]
    assert set(contenders_of(servers).values()) == set(RUNS)


def test_other_data_sets_are_never_paired():
    evaluation_result = example_report.evaluation_results()[SERVER]
    contenders = {("runs/a", *SERVER): evaluation_result, ("runs/b", *SERVER): evaluation_result}
    same = differences(contenders, {"runs/a": "x", "runs/b": "x"}, seed=1, resamples=50)
    other = differences(contenders, {"runs/a": "x", "runs/b": "y"}, seed=1, resamples=50)
    assert same["runs/b", *SERVER].difference.pairing == "paired"
    assert other["runs/b", *SERVER].difference.pairing == "unpaired"
    assert same["runs/b", *SERVER].difference.auc.p == 1


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
    supervised = [r for r in records if (r["metric"], r["attack"]) == ("auc", "supervised")]
    assert [(r["reference_run"], r["reference_adversary"]) for r in supervised] == [
        (None, None),
        ("runs/a", "curious-server"),
        ("runs/a", "curious-server"),
        ("runs/a", "curious-participant"),
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_a_text_leaves_its_last_line_to_whoever_prints_it(rows, form):
    text = FORMATS[form](rows)
    assert text == text.rstrip("\n")
    assert "\n\n" not in text


def test_a_paper_table_says_what_each_line_is_compared_with(rows):
    heading, _, *lines = (
        [cell.strip() for cell in line.split("|")]
        for line in FORMATS["markdown"](rows).splitlines()
    )
    against = heading.index("against")
    told = ["", "curious-server", "runs/a", "runs/a"]
    assert [line[against] for line in lines[:4]] == told
    assert r" & against & records \\" in FORMATS["latex"](rows)


def test_markdown_escapes_names(rows):
    text = FORMATS["markdown"]([renamed(rows[0], "a|b*c\nd")])
    heading, rule, line = text.splitlines()
    assert heading.count("|") == rule.count("|") == line.replace("\\|", "").count("|")
    assert "a\\|b\\*c d" in line


def test_latex_escapes_names(rows):
    text = FORMATS["latex"]([renamed(rows[0], r"50%_\x{}")])
    assert r"50\%\_\textbackslash x\{\}" in text
    assert text.startswith(r"\begin{tabular}{lll")
    assert text.count(r"\\") == 2


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_word_is_broken_and_no_text_is_lost(rows, width):
    texts = []
    for columns in (1000, width):
        console = Console(width=columns, file=io.StringIO(), color_system=None)
        console.print(ComparedTable(rows))
        texts.append(console.file.getvalue())
    wide, narrow = ([*re.findall(r"[\w.+−-]+", text)] for text in texts)  # noqa: RUF001
    assert set(wide) == set(narrow)
    assert max(map(len, texts[1].splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(rows, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(ComparedTable(rows))
    text = console.file.getvalue()
    assert "4  runs/b · curious-participant  partly paired with 2 (73 records)" in text
    assert text.count("\n  4 against 2 ") == 2  # the two attacks that have differences
    difference = next(r for r in rows if r.difference and r.result.attack == "supervised")
    value = signed(difference.difference.auc.value)
    assert any(
        value in line and probability(difference.difference.auc.p) in line
        for line in text.splitlines()
    )
    assert "…" not in text


def renamed(row, attack):
    result = row.result.model_copy(update={"attack": attack})
    return replace(row, result=result)
