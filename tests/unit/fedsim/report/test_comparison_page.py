"""The page of a comparison: what it says first, who is called what, and that it stays a page."""

import stat
from dataclasses import replace

import example_report
import pytest

from fedsim.evaluation import Comparison, Difference
from fedsim.report import interval_charts
from fedsim.report.comparison_page import render_comparison, sentence, write_comparison

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def data():
    return example_report.comparison()


@pytest.fixture(scope="module")
def page(data):
    return render_comparison(data)


def with_difference(data, value, low, high, p):
    auc = Difference(value, low, high, p)
    comparison = Comparison("paired", 2000, {"auc": auc, "accuracy": auc})
    return replace(data, rows=[data.rows[0], replace(data.rows[1], difference=comparison)])


def test_the_sentence_tells_the_largest_difference(data):
    said = sentence(with_difference(data, -0.0123, -0.02, -0.005, 0.0021))
    worse = example_report.evaluation_results(0)["curious-participant", "supervised"].auc.value
    better = example_report.evaluation_results(0)["curious-server", "supervised"].auc.value
    assert said.replace(MINUS, "-") == (
        "With supervised, first · curious-participant separates members from non-members worse "
        "than "
        f"first · curious-server: AUC {worse:.3f} against {better:.3f}; a difference of -.012 "
        "(95 % interval -.020 to -.005, p = .002)."
    ).replace(" 0.", " .")
    unsure = sentence(with_difference(data, 0.003, -0.002, 0.008, 0.31))
    assert "neither measurably better nor worse than first" in unsure
    assert sentence(data).count("the largest difference is") == 1
    alone = replace(data, rows=data.rows[:1])
    assert sentence(alone).startswith("There is nothing to compare")
    assert sentence(replace(data, rows=[])).startswith("There is nothing to compare")


def test_the_sentence_compares_like_with_like_where_it_can(data):
    # The participant is far weaker than the server in each run, and little changes between them.
    assert abs(data.rows[1].difference.auc.value) > abs(data.rows[3].difference.auc.value)
    said = sentence(data)
    assert (
        "second · curious-participant separates members from non-members better than first · "
        in said
    )
    assert "than first · curious-participant: AUC" in said
    server = replace(data, rows=data.rows[:3])
    assert "second · curious-server separates" in sentence(server)
    assert "than first · curious-server: AUC" in sentence(server)


def test_the_sentence_falls_back_to_what_there_is(data):
    one = replace(data, rows=[row for row in data.rows if row.run == "first"])
    assert (
        "first · curious-participant separates members from non-members worse than first"
        in sentence(one)
    )
    baselines = [row for row in data.rows if row.result.baseline]
    assert sentence(replace(data, rows=baselines)).startswith("With gradient-norm, second")
    # Only one contender ran the first attack.
    later = [row for row in data.rows if row.result.attack != "supervised"]
    assert sentence(replace(data, rows=[data.rows[0], *later])).startswith("With scalar-logistic")


def test_every_row_is_on_the_page_with_its_difference(data, page):
    body = page.split('<table id="results">')[1].split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr") == len(data.rows) == 2 * 2 * len(example_report.ATTACKS)
    per_attack = {"first": 2, "curious-server": 1}
    for against, lines in per_attack.items():
        expected = lines * len(example_report.ATTACKS)
        assert body.count(f"<td>{against}<br><small>partly paired</small></td>") == expected
    assert body.count("<td>–</td>") == len(example_report.ATTACKS)  # noqa: RUF001 a dash
    assert "<td>0.02</td><td>0.004</td>" in page  # what the experiments set differently
    assert len(page.encode()) < 2_200_000
    assert render_comparison(data) == page


def test_differences_are_drawn_in_their_contenders_colours(data):
    rows = [
        interval_charts.NamedDifference(data.called(row), row.result.attack, row.difference.auc)
        for row in data.rows
        if row.difference is not None
    ]
    figure = interval_charts.differences(rows, list(data.contenders.values()))
    drawn = {trace.name: trace.marker.color for trace in figure.data}
    auc = interval_charts.side_by_side(
        [row.result.model_copy(update={"adversary": data.called(row)}) for row in data.rows]
    )
    colours = {trace.name: trace.marker.color for trace in auc.data}
    assert drawn == {name: colours[name] for name in drawn}
    assert "first · curious-server" not in drawn  # the reference has no difference
    trace, row = figure.data[0], data.rows[1].difference.auc
    assert trace.x[0] == row.value
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row.high)


def test_what_is_given_stays_text(data):
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    runs = [replace(data.runs[0], name=evil, facts={evil: evil})]
    names = {who: f"{evil}{number}" for number, who in enumerate(data.contenders)}
    rocs = [replace(roc, adversary=evil) for roc in data.rocs[:2]]
    made = replace(data, runs=runs, contenders=names, rocs=rocs, settings=[(evil, [evil])])
    page = render_comparison(made)
    assert page.count("<script") == 3
    assert "<img" not in page


def test_the_file_is_for_its_owner_only(data, tmp_path):
    write_comparison(tmp_path / "new" / "page.html", data)
    assert stat.S_IMODE((tmp_path / "new" / "page.html").stat().st_mode) == 0o600
