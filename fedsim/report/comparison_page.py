"""The page of a comparison of runs; `fedsim.report.rendering` describes pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.files import write_text
from fedsim.report import formatting, interval_charts
from fedsim.report.chart_data import RocTrace, UtilityPoint
from fedsim.report.comparison_rows import ComparedRow, metrics_of, reference_name
from fedsim.report.label_gains import gain_lines
from fedsim.report.legend import legend
from fedsim.report.rendering import Chart, rendered
from fedsim.report.roc_charts import roc_charts
from fedsim.report.utility_charts import utilities_chart
from fedsim.report.utility_info import ACCURACY, UtilityInfo

CAUTIONS = (
    "Intervals and p-values are over the audited records: they do not cover training the "
    "federations again. A difference between two runs may be one of their seeds.",
    "Many differences stand on this page: of twenty that are none, one has p below .05.",
    "“Partly paired” and “unpaired” differences are less sure than paired ones of the same size, "
    "as the contenders were tested on different records; so their intervals are wider.",
)


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs.

    Attributes
    ----------
    name
        Its name on the page.
    facts
        Its facts as labels and values: data, model, participants.
    utility, course
        The final utility of its model, and round by round.
    utility_figure
        Which figure that is.
    """

    name: str
    facts: Mapping[str, str]
    utility: Mapping[str, float | None]
    course: Sequence[UtilityPoint]
    utility_figure: UtilityInfo = ACCURACY


@dataclass(frozen=True)
class ComparisonData:
    """A comparison of runs, ready to be shown.

    Attributes
    ----------
    runs
        In the order given.
    rows
        As `compared.compared_rows` has them.
    contenders
        The name of each run and adversary of `rows` on the page.
    rocs
        With contenders as their adversaries.
    settings
        The settings in which the experiments differ: setting, and its value in each run.
    """

    runs: Sequence[ComparedRun]
    rows: Sequence[ComparedRow]
    contenders: Mapping[tuple[str, str], str]
    rocs: Sequence[RocTrace]
    settings: Sequence[tuple[str, Sequence[str]]] = ()

    def called(self, row: ComparedRow) -> str:
        """Return the name of a row's contender."""
        return self.contenders[row.run, row.result.adversary]


def render_comparison(data: ComparisonData) -> str:
    """Return the page of a comparison."""
    names = ", ".join(run.name for run in data.runs)
    return rendered(
        "comparison.html",
        dict(_sections(data)),
        data=data,
        title=names,
        names=names,
        sentence=sentence(data),
        reference_name=reference_name,
        labels=list(dict.fromkeys(label for run in data.runs for label in run.facts)),
        metrics=metrics_of(data.rows),
        utility_names=formatting.ordered_union(run.utility for run in data.runs),
        units=formatting.units_and_guessing(metrics_of(data.rows)),
        interval_note=formatting.interval_note(row.result for row in data.rows),
        legend=legend(data.rocs),
        label_gains=gain_lines(
            ((data.called(row), row.result) for row in data.rows), metrics_of(data.rows)
        ),
        cautions=CAUTIONS,
    )


def write_comparison(path: Path, data: ComparisonData) -> None:
    """Write the page of a comparison, all or nothing, readable by its owner only."""
    write_text(path, render_comparison(data))


def sentence(data: ComparisonData) -> str:
    """Return the largest difference in one attack, in one sentence.

    The attack is the first one, if possible no baseline, that the same adversary ran in two runs.
    """
    found = [
        (row, row.reference, row.difference.auc)
        for row in _telling(data.rows)
        if row.reference is not None and row.difference is not None
    ]
    if not found:
        return "There is nothing to compare: no two contenders ran the same attack."
    row, reference, auc = max(found, key=lambda one: abs(one[2].value))
    if auc.low <= 0 <= auc.high:
        how = "separates members from non-members neither measurably better nor worse than"
    else:
        how = f"separates members from non-members {'better' if auc.value > 0 else 'worse'} than"
    most = "the largest difference is " if len(found) > 1 else "a difference of "
    return (
        f"With {row.result.attack}, {data.called(row)} {how} {data.called(reference)}: AUC "
        f"{formatting.area(row.result.auc.value)} against "
        f"{formatting.area(reference.result.auc.value)}; {most}"
        f"{formatting.signed(auc.value)} (95 % interval {formatting.signed(auc.low)} to "
        f"{formatting.signed(auc.high)}, {_p(auc.p)})."
    )


def _telling(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Return the candidate rows of the sentence; conditions that no row fulfils are dropped."""
    found = [row for row in rows if row.reference is not None]
    # Another adversary in another run confounds the two.
    found = [row for row in found if row.like_with_like] or found
    found = [row for row in found if not row.result.baseline] or found
    return [row for row in found if row.result.attack == found[0].result.attack]


def _p(p: float) -> str:
    said = formatting.probability(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def _sections(data: ComparisonData) -> Iterator[tuple[str, Iterator[Chart]]]:
    yield "figures", _figures(data)
    yield "roc", roc_charts(data.rocs)
    yield "utility", _utility(data)


def _figures(data: ComparisonData) -> Iterator[Chart]:
    named = [row.result.model_copy(update={"adversary": data.called(row)}) for row in data.rows]
    alt = "AUC of every attack with its interval, for each contender; figures in the table"
    yield Chart("side-by-side", interval_charts.side_by_side(named), "AUC", alt)
    differences = [
        interval_charts.NamedDifference(data.called(row), row.result.attack, row.difference.auc)
        for row in data.rows
        if row.difference is not None
    ]
    if differences:
        chart = interval_charts.differences(differences, list(data.contenders.values()))
        alt = "Differences of AUC from what the table says, with intervals"
        yield Chart("differences", chart, "Difference, against what the table says", alt)


def _utility(data: ComparisonData) -> Iterator[Chart]:
    courses = {run.name: run.course for run in data.runs if run.course}
    if courses:
        alt = "Train and test utility of each run's model over the rounds"
        shown = list(dict.fromkeys(run.utility_figure for run in data.runs if run.course))
        yield Chart("utility", utilities_chart(courses, shown), "", alt)
