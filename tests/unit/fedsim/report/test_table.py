"""The terminal tables: figures, refusals, widths, and names taken as plain text."""

import io
import re

import example_report
import pytest
from rich.console import Console

from fedsim.report.comparison_rows import compared_rows
from fedsim.report.formats import as_markdown
from fedsim.report.gate import check_limits
from fedsim.report.limits import Limit
from fedsim.report.result_schema import MetricFigure, MetricInfo
from fedsim.report.table import RunTable

DASH = "\N{EN DASH}"


def printed(renderable, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def results():
    return example_report.results()


@pytest.mark.parametrize("width", [80, 120])
def test_a_figure_and_its_interval_stand_on_one_line(results, width):
    text = printed(RunTable(results), width)
    result = example_report.evaluation_results()["curious-server", "supervised"]
    line = next(line for line in text.splitlines() if line.startswith("supervised"))
    assert f"{100 * result.accuracy.value:.1f} {100 * result.accuracy.low:.1f}{DASH}" in line
    assert f"{result.auc.value:.3f}".lstrip("0") in line
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


WORDS = r"[\w-]+"


def many(results):
    """Return the results of four attackers with long names, and metrics that few have."""
    names = ("gradient-ascent-participant", "gradient-ascent-server", "isolating-server", "x")
    rows = [
        row | {"adversary": name} for name in names for row in results.model_dump()["results"][::2]
    ]
    unique = {(row["adversary"], row["attack"], row["victim"]): row for row in rows}
    return example_report.with_rows(results, list(unique.values()))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("made", [lambda results: results, many], ids=["two", "four"])
def test_no_word_is_broken_and_no_text_is_lost(results, made, width):
    shown = made(results)
    wide, narrow = (printed(RunTable(shown), columns) for columns in (1000, width))
    assert max(map(len, narrow.splitlines())) <= width
    assert "…" not in narrow
    # The tables of many adversaries have accuracy in the wide form only.
    assert set(re.findall(WORDS, wide)) - set(re.findall(WORDS, narrow)) <= {"·"}
    assert set(re.findall(WORDS, narrow)) <= set(re.findall(WORDS, wide))


def test_a_narrow_terminal_puts_intervals_below(results):
    lines = printed(RunTable(results), 62).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("supervised"))
    assert DASH not in lines[place]
    assert lines[place + 1].count(DASH) == 4
    assert not any("…" in line for line in lines)


def test_the_table_says_what_must_be_known(results):
    text = " ".join(printed(RunTable(results), 100).split())
    assert "curious-server against participant-0 1,000 members, 1,000 non-members" in text
    assert "train accuracy 99.1 % test accuracy 37.2 % gap 61.9 points" in text
    assert "baselines:" in text
    assert "TPR at 1 % FPR: at most 10 false positives behind each figure" in text
    assert "TPR at 0.1 % FPR: at most 1 false positive behind each figure" in text
    assert "200 resamples" in text
    assert "mean of 3 attack seeds" in text
    assert "accuracy · AUC" in text  # side by side


def test_what_was_refused_is_shown_as_refused(results):
    rows = results.model_dump()["results"]
    for row in rows:
        del row["figures"]["tpr@0.001"]
        row["refused"] = {"tpr@0.001": "needs >= 1,000 non-members, has 500"}
    text = printed(RunTable(example_report.with_rows(results, rows)), 80)
    line = next(line for line in text.splitlines() if line.startswith("supervised"))
    assert line.rstrip().endswith("refused")
    assert text.count("refused: TPR at 0.1 % FPR needs >= 1,000 non-members, has 500") == 1


def test_names_are_not_markup(results):
    row = results.model_dump()["results"][0] | {"adversary": "[red]x[/red]", "attack": "[/]"}
    text = printed(RunTable(example_report.with_rows(results, [row])), 80)
    assert "[red]x[/red] against participant-0" in text
    assert "\n[/] " in text


def test_no_attack_at_all(results):
    empty = results.model_copy(update={"results": ()})
    assert "no attack was run" in printed(RunTable(empty), 80)


def test_a_lower_bound_has_no_interval_anywhere(results):
    """The bound alone: in the table, its notes, a comparison's file, and a breach of a gate."""
    bound = MetricFigure(value=1.25, low=1.25, high=1.25, method="bound", least=1.25, most=1.25)
    infos = {**results.metrics, "bound": MetricInfo(heading="epsilon >=", unit="number")}
    rows = tuple(
        row.model_copy(update={"figures": {**row.figures, "bound": bound}})
        for row in results.results
    )
    with_bounds = results.model_copy(update={"metrics": infos, "results": rows})
    text = printed(RunTable(with_bounds), 200)
    assert "1.25" in text
    assert "1.25 1.25" not in text
    assert f"1.25{DASH}1.25" not in text
    assert "resamples; a lower bound has none)" in text
    assert "a lower bound has none" not in printed(RunTable(results), 200)
    compared = as_markdown(compared_rows({"run": with_bounds}, {}))
    assert "| 1.25 |" in compared
    (breach, *_) = [
        check.breach for check in check_limits(with_bounds, [Limit("bound", "max", 1.0)])
    ]
    assert " is 1.25: its upper limit of 1.25 is above the limit 1" in breach
