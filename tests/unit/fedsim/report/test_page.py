"""The page: its sentence, its size, that nothing leaves it and nothing given to it becomes code."""

import base64
import gzip
import json
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser

import example_report
import pytest

from fedsim.report import data as parts
from fedsim.report.page import render, sentence, write_page
from fedsim.report.result_schema import ThreatModel

EVIL = """</script><script>alert(1)</script><img src=x onerror="alert(2)">'"&{{7*7}}"""


class Elements(HTMLParser):
    """Collects start tags with their attributes, and the content of scripts."""

    def __init__(self, page):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script":
            self.scripts[-1] += data


def charts_of(elements):
    return json.loads(gzip.decompress(base64.b64decode(elements.scripts[0])))


@pytest.fixture(scope="module")
def report():
    return example_report.report()


@pytest.fixture(scope="module")
def page(report):
    return render(report)


def test_the_sentence():
    findings = [
        parts.AttackFigures(
            "a curious server", "participant 0's training data", 0.853, 0.834, 0.871
        ),
        parts.AttackFigures("a fellow participant", "all others' data", 0.832, 0.811, 0.849),
    ]
    assert sentence(findings) == (
        "A curious server tells members of participant 0's training data from others 85 times "
        "in 100 (95 % "
        "interval 83 to 87); a fellow participant, among all others' data, 83 times (81 to 85); "
        "guessing: 50."
    )
    assert sentence([]) == "Nothing was attacked."


def test_it_is_small_and_the_same_every_time(report, page):
    assert len(page.encode()) < 2_200_000
    assert render(report) == page


def test_it_asks_for_nothing(page):
    elements = Elements(page)
    for tag, attributes in elements.found:
        for name in ("src", "href", "action", "data", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    policy = next(a["content"] for t, a in elements.found if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not re.search(r"url\(|@import", page.split("</style>")[0].split("<style>")[1])


def test_it_shows_each_row_once(report, page):
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    # One query an adversary: the mean row would say the same again.
    assert body.count("<tr") == len(report.results.results) // 2
    assert "mean" not in body


def test_a_mean_over_several_queries_is_shown(report):
    rows = report.results.model_dump()["results"]
    more = example_report.with_rows(report.results, [*rows, rows[0] | {"victim": "participant-1"}])
    body = render(replace(report, results=more))
    assert body.split("<tbody>")[1].split("</tbody>")[0].count("<td>mean</td>") == 6


def test_differences_of_baselines_stand_behind_others_and_else_alone(report, page):
    of_baselines = "<summary>Of the baselines</summary>"
    assert page.count('aria-label="differences') == 2
    assert of_baselines in page
    baselines = [row for row in report.compared if row.result.baseline]
    alone = render(replace(report, compared=baselines))
    table = alone.split('aria-label="differences"')[1].split("</table>")[0]
    told = sum(row.difference is not None for row in baselines)
    assert table.count('class="baseline"') == told > 0
    assert of_baselines not in alone


def test_figures_and_words_are_there(page):
    evaluation_result = example_report.evaluation_results()["curious-server", "supervised"]
    assert f"{100 * evaluation_result.accuracy.value:.1f}" in page
    assert "99.1 %" in page
    assert "the aggregate that the server sends" in page
    assert "fedsim run configs/cifar100-alexnet-small.yaml --out runs/first" in page
    assert "<dt>torch</dt><dd>2.14</dd>" in page
    assert "fedsim 0.1.0, commit 0123abc" in page


def test_the_headline_says_by_which_attack(report):
    findings = [replace(one, attack="<loss>") for one in report.findings]
    page = render(replace(report, findings=findings))
    assert "a curious server <small>&lt;loss&gt;</small>" in page
    assert "By &lt;loss&gt;: of each attacker the attack that is right most often" in page


def test_each_signal_has_a_chart_of_its_exposure(report):
    more = [replace(one, attack="uncertainty") for one in report.exposures if one.alone]
    page = render(replace(report, exposures=[*report.exposures, *more]))
    charts = charts_of(Elements(page))
    adversaries = ["curious-server", "curious-participant"]
    for key in ("exposure-0", "exposure-alone-0", "exposure-alone-1"):
        assert [trace["name"] for trace in charts[key]["data"]] == adversaries


def test_of_a_given_model_there_are_no_rounds(report):
    page = render(replace(report, given=True, utility_of="the given model"))
    assert "Who holds the model" in page
    assert charts_of(Elements(page))["utility"]["layout"]["xaxis"]["title"]["text"] == "snapshot"


def test_no_record_id_is_on_it(page):
    cases = example_report.evaluation_results()["curious-server", "supervised"].cases
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    text += json.dumps(charts_of(Elements(page)))
    lists = re.findall(r"(?<![\d.])\d{5}(?![\d.])", text)  # no digits of fractions
    assert len(set(lists) & {str(number) for number in cases[0].joined.records}) == 0


def standing_out(record, who="curious-server"):
    return parts.ExposedSummary(who, who, who, 1000, 1000, {"0.01": 388}, [record])


def test_exposed_records_are_counted_and_shown_on_request_only(report, page):
    section = page.split('<section id="exposed">')[1].split("</section>")[0]
    assert '<td class="number">388</td><td class="number">90</td>' in section
    assert "Which records these are is not on this page." in section
    assert "<li>" not in section
    assert "<img" not in page

    png = b"\x89PNG not really"
    records = [parts.ExposedRecord(4711, "7", 2, png), parts.ExposedRecord(4712, "apple", 0)]
    asked = render(replace(report, standing_out=[standing_out(one) for one in records]))
    section = asked.split('<section id="exposed">')[1].split("</section>")[0]
    assert "This page is as private as they are." in section
    assert section.count("<img") == 1
    assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in section
    assert "<b>4711</b> <span>class 7</span> <small>2 of 1,000 as high</small>" in section
    assert "<b>4712</b> <span>class apple</span>" in section


def test_figures_in_charts_have_no_digits_beyond_sight(page):
    charts = charts_of(Elements(page))
    rates = charts["roc"]["data"][1]["x"]
    assert rates == [float(f"{rate:.5g}") for rate in rates]


def test_a_threat_model_says_what_each_attack_learns_from(report):
    learned = {"supervised": "known members and non-members", "shadow": "data", "loss": "nothing"}
    words = report.threats[0].words.model_copy(update={"learns_from": learned | {"label": "data"}})
    page = render(replace(report, threats=[replace(report.threats[0], words=words)]))
    assert (
        "<dt>learns from</dt><dd>known members and non-members (supervised); data (shadow, label); "
        "nothing (loss)</dd>"
    ) in page
    assert "learns from" not in render(report)  # results of a version that did not say


def test_what_is_given_stays_text(report):
    words = ThreatModel(
        adversary=EVIL, who=EVIL, sees=EVIL, does=EVIL, knows=EVIL, learns_from={EVIL: EVIL}
    )
    rows = [
        row | {"adversary": EVIL, "attack": f"{EVIL}{number}", "victim": EVIL}
        for number, row in enumerate(report.results.model_dump()["results"][:2])
    ]
    evil = replace(
        report,
        name=EVIL,
        findings=[replace(report.findings[0], who=EVIL, whose=EVIL)],
        facts=[(EVIL, EVIL)],
        results=example_report.with_rows(report.results, rows),
        threats=[replace(report.threats[0], words=words)],
        rocs=[replace(report.rocs[0], adversary=EVIL, attack=EVIL)],
        histograms=[replace(report.histograms[0], adversary=EVIL, attack=EVIL)],
        courses=[replace(report.courses[0], adversary=EVIL, quantity=EVIL)],
        config_yaml=EVIL,
        provenance={EVIL: EVIL},
        standing_out=[standing_out(parts.ExposedRecord(7, EVIL, 0), EVIL)],
        commands=[EVIL],
        cautions=[EVIL],
    )
    elements = Elements(render(evil))
    assert [tag for tag, _ in elements.found].count("script") == 3
    assert not [tag for tag, _ in elements.found if tag == "img"]
    assert not [a for _, a in elements.found if any(name.startswith("on") for name in a)]
    charts = charts_of(elements)
    assert "<" not in charts["roc"]["data"][1]["name"]
    assert "<" not in charts["side-by-side"]["layout"]["yaxis"]["ticktext"][0]
    assert ">49<" not in render(evil)  # no second round of templates


def test_a_bare_run_has_a_page(report):
    bare = replace(
        report,
        findings=[],
        facts=[],
        results=report.results.model_copy(update={"results": ()}),
        threats=[],
        utility=[],
        rocs=[],
        histograms=[],
        courses=[],
        by_class=[],
        exposures=[],
        standing_out=[],
        compared=[],
        cautions=[],
        commands=[],
        provenance={},
    )
    page = render(bare)
    assert "Nothing was attacked." in page
    assert "ROC" not in page.split('<script id="figures"')[0].split("</style>")[1]


def test_the_file_is_for_its_owner_only(report, tmp_path):
    write_page(tmp_path / "report.html", report)
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o600


def test_of_many_attackers_the_sentence_tells_the_first_the_strongest_and_a_local_one() -> None:
    findings = [
        parts.AttackFigures(who, "X's data", accuracy, accuracy - 0.02, accuracy + 0.02)
        for who, accuracy in (("a", 0.8), ("b", 0.7), ("c", 0.95), ("d", 0.6))
    ]
    assert sentence(findings) == (
        "A tells members of X's data from others 80 times in 100 (95 % interval 78 to 82); "
        "c 95 times (93 to 97); guessing: 50."
    )
    local = [parts.AttackFigures(who, "Y's data", 0.75, 0.73, 0.77) for who in ("e", "f")]
    assert sentence([*findings, *local]) == (
        "A tells members of X's data from others 80 times in 100 (95 % interval 78 to 82); "
        "c 95 times (93 to 97); e, among Y's data, 75 times (73 to 77); guessing: 50."
    )
