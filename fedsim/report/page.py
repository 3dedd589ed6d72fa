"""The report as one HTML file that needs nothing else: no network, no server, no other file.

The template has the words, the style sheet the looks, the script draws the charts and sorts the
table; all are put into the page, with plotly.js compressed beside them (the browser unpacks it, so
a page is about 2 MB). A content security policy forbids the page every request. Whatever comes from
configs, plugins or data is escaped: by jinja2 in the text, as JSON in the charts.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from fedsim.files import write_text
from fedsim.report import figures, words
from fedsim.report.costs import cost_cells
from fedsim.report.data import Finding, ReportData, RocTrace
from fedsim.report.diagram import HEIGHT, WIDTH, diagram
from fedsim.report.results import MEAN, Result, Results


@dataclass(frozen=True)
class Chart:
    """A figure with a name for its place on the page and a description for who cannot see it."""

    key: str
    figure: go.Figure
    title: str
    alt: str
    muted: bool = False


@dataclass(frozen=True)
class LegendEntry:
    """A trace of the ROC charts: its number there, its line's style, whether it is drawn."""

    trace: int
    roc: RocTrace
    style: str
    shown: bool


@dataclass(frozen=True)
class LegendLine:
    """An adversary, its colour and its traces."""

    adversary: str
    colour: str
    entries: list[LegendEntry]


def render(data: ReportData) -> str:
    """Return the page of a run."""
    charts = {section: list(made) for section, made in _sections(data)}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            *("percent", "percent_interval", "area", "area_interval", "signed", "points"),
            *("probability", "rate_name"),
        )
    }
    environment.filters["cost_cells"] = cost_cells
    rows = _rows(data.results)
    return environment.from_string(_own("page.html")).render(
        data=data,
        rows=rows,
        sentence=sentence(data.findings),
        diagrams=[(threat, diagram(threat)) for threat in data.threats],
        diagram_size=(WIDTH, HEIGHT),
        scale=_scale(data.findings),
        rates=words.rates_of([*(r.tpr_at_fpr for r in rows), *(r.refused_fprs for r in rows)]),
        footnotes=words.footnotes(rows),
        legend=_legend(data.rocs),
        charts=charts,
        figures={c.key: _json(c.figure) for made in charts.values() for c in made},
        provenance=list(_flat(data.provenance)),
        style=_own("page.css"),
        script=_own("page.js"),
        plotly=_packed_plotly(),
    )


def write_page(path: Path, data: ReportData) -> None:
    """Write the page of a run, all or nothing, readable by its owner only."""
    write_text(path, render(data))


_MANY = 3


def sentence(findings: Sequence[Finding]) -> str:
    """Return what was found, in one sentence: the first attacker in full, then the others.

    Of many others, only the strongest is told; the scale below has them all.

    >>> sentence([Finding("a server", "X's data", 0.853, 0.834, 0.871)])
    "A server tells who was in X's data 85 times in 100 (95 % interval 83 to 87); guessing: 50."
    """
    if not findings:
        return "Nothing was attacked."
    first, *others = findings
    if len(others) >= _MANY:
        others = [max(others, key=lambda one: one.accuracy)]
    parts = [
        f"{first.who[:1].upper()}{first.who[1:]} tells who was in {first.whose} "
        f"{words.out_of_100(first.accuracy)} times in 100 (95 % interval {_range(first)})"
    ]
    parts += [
        f"{one.who}, among {one.whose}, {words.out_of_100(one.accuracy)} times ({_range(one)})"
        for one in others
    ]
    return "; ".join([*parts, "guessing: 50."])


def _range(finding: Finding) -> str:
    return f"{words.out_of_100(finding.low)} to {words.out_of_100(finding.high)}"


def _rows(results: Results) -> list[Result]:
    """Return the rows to show: attack by attack, no mean where there is one question only."""
    questions = {adversary: set[str]() for adversary in results.adversaries()}
    for row in results.results:
        if row.victim != MEAN:
            questions[row.adversary].add(row.victim)
    shown = [r for r in results.results if r.victim != MEAN or len(questions[r.adversary]) != 1]
    return sorted(shown, key=lambda row: results.attacks().index(row.attack))


def _legend(rocs: Sequence[RocTrace]) -> list[LegendLine]:
    """Return the legend that both kinds of ROC share."""
    shown = figures.shown_at_first(rocs)
    entries = [
        LegendEntry(place + 1, one, figures.line_style(rocs, one), shown[place])
        for place, one in enumerate(rocs)
    ]
    return [
        LegendLine(adversary, colour, [e for e in entries if e.roc.adversary == adversary])
        for adversary, colour in figures.adversary_colours(r.adversary for r in rocs).items()
    ]


def _sections(data: ReportData) -> Iterator[tuple[str, Iterator[Chart]]]:
    """Yield the charts of each section of the page; a section without any is left out there."""
    yield "utility", _utility(data)
    yield "side_by_side", _side_by_side(data)
    yield "roc", _roc(data)
    yield "scores", _scores(data)
    yield "courses", _courses(data)
    yield "classes", _classes(data)
    yield "exposure", _exposure(data)


def _utility(data: ReportData) -> Iterator[Chart]:
    if data.utility:
        alt = "Train and test accuracy of the federation's model over the rounds"
        yield Chart("utility", figures.utility(data.utility), "", alt)


def _side_by_side(data: ReportData) -> Iterator[Chart]:
    if rows := data.results.summary():
        alt = "AUC of every attack with its interval, for each adversary; figures in the table"
        yield Chart("side-by-side", figures.side_by_side(rows), "", alt)


def _roc(data: ReportData) -> Iterator[Chart]:
    if data.rocs:
        linear = figures.roc(data.rocs, logarithmic=False)
        yield Chart("roc", linear, "Linear", "ROC curves on linear axes")
        low = figures.roc(data.rocs, logarithmic=True)
        yield Chart("roc-log", low, "Logarithmic", "ROC curves on logarithmic axes")


def _scores(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.histograms):
        title = f"{one.attack} · {one.adversary}"
        alt = f"Histogram of the scores of members and of non-members: {title}"
        yield Chart(f"scores-{place}", figures.histogram(one), title, alt, one.baseline)


def _courses(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.courses):
        alt = f"{one.quantity} of members and of non-members over the rounds: {one.adversary}"
        yield Chart(f"course-{place}", figures.course(one), one.adversary, alt)


def _classes(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.by_class):
        title = f"{one.attack} · {one.adversary}"
        yield Chart(f"class-{place}", figures.by_class(one), title, f"Accuracy by class: {title}")


def _exposure(data: ReportData) -> Iterator[Chart]:
    if data.exposures:
        alt = "AUC by the number of observed rounds"
        yield Chart("exposure", figures.exposure(data.exposures), "", alt)


def _scale(findings: Sequence[Finding]) -> list[tuple[Finding, float, float, float]]:
    """Return each finding with its low end, value and high end in percent of the scale's width.

    The scale runs from 40 to 100 times in 100.
    """

    def place(accuracy: float) -> float:
        return round(100 * min(1.0, max(0.0, (accuracy - 0.4) / 0.6)), 2)

    return [(one, place(one.low), place(one.accuracy), place(one.high)) for one in findings]


def _json(figure: go.Figure) -> object:
    return json.loads(figure.to_json())


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values of a nested mapping, inner names after the outer ones."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", " ".join(map(str, value))
        elif value is not None:
            yield f"{prefix}{name}", str(value)


def _own(name: str) -> str:
    return files("fedsim.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _packed_plotly() -> str:
    """Return plotly.js compressed, in base64; the same bytes every time."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
