"""The report page of a run; `fedsim.report.rendering` describes pages."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedsim.files import write_text
from fedsim.report import formatting, interval_charts
from fedsim.report.attack_charts import by_class, course, exposure, histogram
from fedsim.report.data import AttackFigures, ReportData
from fedsim.report.diagram import WIDTH, diagram
from fedsim.report.label_gains import label_gain_lines
from fedsim.report.legend import legend
from fedsim.report.rendering import Chart, rendered
from fedsim.report.result_schema import ResultRow
from fedsim.report.results import MEAN, Results
from fedsim.report.roc_charts import roc_charts
from fedsim.report.utility_charts import utility_chart

_MANY = 3


def render(data: ReportData) -> str:
    """Return the page of a run."""
    rows = _rows(data.results)
    return rendered(
        "page.html",
        dict(_sections(data)),
        data=data,
        title=data.name,
        rows=rows,
        sentence=sentence(data.findings),
        diagrams=[(threat, diagram(threat)) for threat in data.threats],
        diagram_width=WIDTH,
        scale=_scale(data.findings),
        metrics=data.results.metrics,
        footnotes=formatting.footnotes(rows, data.results.metrics),
        interval_note=formatting.interval_note(rows),
        units=formatting.units_and_guessing(data.results.metrics),
        utility=formatting.utility_words(data.results.utility, data.results.utility_figure),
        label_gains=label_gain_lines(data.results),
        legend=legend(data.rocs),
        found_at=formatting.ordered_union(one.found for one in data.standing_out),
        shown=any(one.records for one in data.standing_out),
        rounds_up_to=", ".join(_exposed_by(data, alone=False)),
        rounds_alone=", ".join(_exposed_by(data, alone=True)),
        made_with=_made_with(data.provenance),
        first_victims=any(one.about for one in data.histograms),
        step=_step(data),
        led_by=dict.fromkeys(one.attack for one in data.findings if one.attack),
        quantities=list(dict.fromkeys(one.quantity for one in data.courses)),
    )


def write_page(path: Path, data: ReportData) -> None:
    """Write the page of a run, all or nothing, readable by its owner only."""
    write_text(path, render(data))


def sentence(findings: Sequence[AttackFigures]) -> str:
    """Return the headline sentence: the first attacker in full, then the others.

    Of many others, the strongest is named, and the first that asks about other data (a local
    attacker among global ones); the scale below shows all.

    >>> sentence([AttackFigures("Eve", "X's data", 0.853, 0.834, 0.871)]).partition(" (")[0]
    "Eve tells members of X's data from others 85 times in 100"
    """
    if not findings:
        return "Nothing was attacked."
    first, *others = findings
    if len(others) >= _MANY:
        strongest = max(others, key=lambda one: one.accuracy)
        elsewhere = next((one for one in others if one.whose != first.whose), strongest)
        others = [one for one in others if one in (strongest, elsewhere)]
    parts = [
        f"{first.who[:1].upper()}{first.who[1:]} tells members of {first.whose} from others "
        f"{formatting.out_of_100(first.accuracy)} times in 100 (95 % interval {_range(first)})"
        f"{_over_label(first)}"
    ]
    parts += [
        f"{one.who}{'' if one.whose == first.whose else f', among {one.whose},'} "
        f"{formatting.out_of_100(one.accuracy)} times ({_range(one)}){_over_label(one)}"
        for one in others
    ]
    if first.label_alone is not None:
        return "; ".join(parts) + "."
    return "; ".join([*parts, "guessing: 50."])


def _over_label(finding: AttackFigures) -> str:
    """Return the phrase on the gain over the label baseline, if that beats guessing."""
    if finding.label_alone is None:
        return ""
    alone = formatting.out_of_100(finding.label_alone)
    gain = int(formatting.out_of_100(finding.accuracy)) - int(alone)
    if gain <= 0:
        return f", no more than with the record's label alone ({alone})"
    return f", {gain} more than with the record's label alone ({alone})"


def _range(finding: AttackFigures) -> str:
    return f"{formatting.out_of_100(finding.low)} to {formatting.out_of_100(finding.high)}"


def _rows(results: Results) -> list[ResultRow]:
    """Return the rows to show: attack by attack, no mean where there is one query only."""
    queries = {adversary: set[str]() for adversary in results.adversaries()}
    for row in results.results:
        if row.victim != MEAN:
            queries[row.adversary].add(row.victim)
    shown = [r for r in results.results if r.victim != MEAN or len(queries[r.adversary]) != 1]
    return sorted(shown, key=lambda row: results.attacks().index(row.attack))


def _sections(data: ReportData) -> Iterator[tuple[str, Iterator[Chart]]]:
    """Yield the charts of each section of the page."""
    yield "utility", _utility(data)
    yield "side_by_side", _side_by_side(data)
    yield "roc", roc_charts(data.rocs, data.ceilings)
    yield "scores", _scores(data)
    yield "courses", _courses(data)
    yield "classes", _classes(data)
    yield "exposure", _exposure(data)


def _utility(data: ReportData) -> Iterator[Chart]:
    if data.utility:
        shown, step = data.results.utility_figure, _step(data)
        alt = f"Train and test {shown.name} by {step}"
        alt += f": {data.utility_of}" if data.utility_of else ""
        yield Chart("utility", utility_chart(data.utility, shown, step), data.utility_of, alt)


def _step(data: ReportData) -> str:
    """Return the unit of the series: ``round``, or ``snapshot`` of an external model."""
    return "snapshot" if data.given else "round"


def _side_by_side(data: ReportData) -> Iterator[Chart]:
    if rows := data.results.summary():
        alt = "AUC of every attack with its interval, for each adversary; figures in the table"
        yield Chart("side-by-side", interval_charts.side_by_side(rows), "", alt)


def _scores(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.histograms):
        title = _title(one.attack, one.adversary, one.about)
        alt = f"Histogram of the scores of members and of non-members: {title}"
        yield Chart(f"scores-{place}", histogram(one), title, alt, one.baseline)


def _courses(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.courses):
        alt = f"{one.quantity} of members and of non-members by {_step(data)}: {one.adversary}"
        title = _title(one.quantity, one.adversary, one.about)
        yield Chart(f"course-{place}", course(one, _step(data)), title, alt)


def _classes(data: ReportData) -> Iterator[Chart]:
    for place, one in enumerate(data.by_class):
        title = _title(one.attack, one.adversary, one.about)
        yield Chart(f"class-{place}", by_class(one), title, f"Accuracy by class: {title}")


def _title(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _exposure(data: ReportData) -> Iterator[Chart]:
    """Yield a chart per attack, with a line per adversary."""
    for key, alone, how in (
        ("exposure", False, f"all {_step(data)}s up to this one"),
        ("exposure-alone", True, f"this {_step(data)} alone"),
    ):
        for place, attack in enumerate(_exposed_by(data, alone=alone)):
            series = [one for one in data.exposures if (one.alone, one.attack) == (alone, attack)]
            title = f"{attack}, {how}"
            yield Chart(
                *(f"{key}-{place}", exposure(series, _step(data)), title),
                alt=f"AUC by observed {_step(data)}: {title}",
            )


def _exposed_by(data: ReportData, *, alone: bool) -> list[str]:
    """Return the attacks whose exposure is shown."""
    return list(dict.fromkeys(one.attack for one in data.exposures if one.alone is alone))


def _made_with(provenance: Mapping[str, str]) -> str:
    """Return the versions of a run in one line."""
    return ", ".join(f"{n} {provenance[n]}" for n in ("fedsim", "commit") if n in provenance)


def _scale(findings: Sequence[AttackFigures]) -> list[tuple[AttackFigures, float, float, float]]:
    """Return each finding with its low end, value and high end in percent of the scale's width.

    The scale runs from 40 to 100 times in 100.
    """

    def place(accuracy: float) -> float:
        return round(100 * min(1.0, max(0.0, (accuracy - 0.4) / 0.6)), 2)

    return [(one, place(one.low), place(one.accuracy), place(one.high)) for one in findings]
