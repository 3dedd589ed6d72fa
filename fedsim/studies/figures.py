"""The figures of a study as SVG: lines with intervals, ROC curves, histograms, courses, classes.

The same findings give the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from fedsim.errors import FedsimError
from fedsim.evaluation.curves import mean_roc, quartiles, score_histogram
from fedsim.report.chart_style import ADVERSARY_COLOURS, MEMBER, NONMEMBER
from fedsim.studies.canvas import PANELS_A_LINE, drawn_as_svg
from fedsim.studies.evidence import Finder, StoredTrace, StudyCourse
from fedsim.studies.metric_names import heading
from fedsim.studies.output_specs import FigureSpec
from fedsim.studies.rows import Row, fits, measured

PANEL_WIDTH, PANEL_HEIGHT = 3.6, 2.9
ACTING = ADVERSARY_COLOURS[1]
MANY = 10_000
"""From smallest to largest, more than which few ticks of a logarithmic axis are labelled."""


def svg(spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> str:
    """Return a figure of a study as SVG.

    Raises
    ------
    FedsimError
        If a signal that is to be drawn was not traced.
    """
    left = [row for row in rows if fits(row.coordinates, spec.only)]
    panels = _grouped(left, spec.panels)
    across = min(len(panels), PANELS_A_LINE)
    down = -(-len(panels) // across)

    def draw(canvas: Canvas) -> None:
        # What training does can be compared between panels; levels differ by powers of ten.
        same = spec.kind == "reaction"
        axes = canvas.subplots(down, across, squeeze=False, sharey=same).flatten()
        for place, (name, own) in zip(axes, panels.items(), strict=False):
            _KINDS[spec.kind](place, spec, own, evidence)
            place.set_title(name, fontsize=9)
        for unused in axes[len(panels) :]:
            unused.set_visible(False)
        _legend(canvas, axes)

    return drawn_as_svg((PANEL_WIDTH * across, PANEL_HEIGHT * down), draw)


def _legend(canvas: Canvas, axes: Iterable[Axes]) -> None:
    """Add a legend below the panels for everything that they show."""
    named: dict[str, Any] = {}
    for place in axes:
        handles, labels = place.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    columns = min(3, len(named) or 1)
    canvas.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns)


def _line(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    along = str(spec.along)
    ticks = list(dict.fromkeys(row.coordinates[along] for row in rows))
    for colour, (name, own) in _coloured(_grouped(rows, spec.lines)):
        found = [(row.coordinates[along], measured(row, spec.metric)) for row in own]
        drawn = [(ticks.index(at), one) for at, one in found if one and one.interval]
        values = np.array([one.value for _, one in drawn])
        ends = np.array([(one.interval.low, one.interval.high) for _, one in drawn if one.interval])
        place.errorbar(
            [at for at, _ in drawn],
            values,
            np.abs(ends.T - values),
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            label=name,
        )
    place.set_xticks(range(len(ticks)), ticks)
    place.set_xlabel(along)
    place.set_ylabel(heading(spec.metric).removesuffix(", %") + ", with 95 % interval")


def _roc(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    lowest = 1.0
    for colour, (name, own) in _coloured(_grouped(rows, spec.lines)):
        curve = mean_roc(evidence(own[0]).evaluation_result(own[0]).cases)
        place.plot(curve.fpr[1:], curve.tpr[1:], color=colour, drawstyle="steps-post", label=name)
        lowest = min(lowest, float(curve.fpr[1]))
    place.plot([lowest, 1], [lowest, 1], color=NONMEMBER, linestyle=":", linewidth=1)
    _logarithmic(place, "x", "y")
    place.set(xlim=(lowest, 1), ylim=(lowest, 1.05))
    place.set(xlabel="false positive rate", ylabel="true positive rate")


def _histogram(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    counted = score_histogram(evidence(rows[0]).evaluation_result(rows[0]).cases[0])
    for shares, colour, name in (
        (counted.members, MEMBER, "members"),
        (counted.nonmembers, NONMEMBER, "non-members"),
    ):
        place.stairs(shares, counted.edges, color=colour, fill=True, alpha=0.5, label=name)
    place.set(xlabel=f"score of {rows[0].result.attack}", ylabel="share")


def _course(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    course = evidence(rows[0]).course(rows[0])
    for side, colour, name in _sides(course.returned):
        sent = quartiles(course.sent.values[:, side])[:, 1]
        _band(place, course.returned, side, colour, f"{name}, returned")
        place.plot(
            course.sent.rounds,
            sent,
            color=colour,
            linestyle="--",
            marker="o",
            markersize=3,
            markerfacecolor="white",
            linewidth=1.2,
            label=f"{name}, sent",
        )
    place.set_ylabel(f"{rows[0].result.attack}: quartiles")
    _over_rounds(place, course)


def _reaction(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    course = evidence(rows[0]).course(rows[0])
    place.axhline(1, color=NONMEMBER, linestyle=":", linewidth=1)
    for side, colour, name in _sides(course.reaction):
        _band(place, course.reaction, side, colour, name)
    place.set_ylabel(f"{rows[0].result.attack}: returned / sent")
    _over_rounds(place, course)


def _sides(trace: StoredTrace) -> list[tuple[np.ndarray, str, str]]:
    """Return which records are members and which are not, with their colours and names."""
    return [(trace.member, MEMBER, "members"), (~trace.member, NONMEMBER, "non-members")]


def _band(place: Axes, trace: StoredTrace, side: np.ndarray, colour: str, name: str) -> None:
    """Draw the median of some records over the rounds, in a band between the quartiles."""
    low, middle, high = quartiles(trace.values[:, side]).T
    place.plot(trace.rounds, middle, color=colour, marker="o", markersize=3, label=name)
    place.fill_between(trace.rounds, low, high, color=colour, alpha=0.2, linewidth=0)


def _over_rounds(place: Axes, course: StudyCourse) -> None:
    """Shade the observed rounds in which the adversary acts."""
    if len(course.acting):
        first, last = course.acting[0] - 0.5, course.acting[-1] + 0.5
        place.axvspan(first, last, color=ACTING, alpha=0.12, linewidth=0, label="it acts")
    place.set(xlabel="round", xlim=(course.returned.rounds[0] - 1, course.returned.rounds[-1] + 1))
    place.xaxis.set_major_locator(MaxNLocator(integer=True))
    _logarithmic(place, "y")


def _by_class(place: Axes, spec: FigureSpec, rows: Sequence[Row], evidence: Finder) -> None:
    trace = evidence(rows[0]).trace(rows[0])
    last = trace.values[-1]
    sides = {"members": (trace.member, MEMBER), "non-members": (~trace.member, NONMEMBER)}
    means = {
        name: {
            int(label): float(last[side & (trace.labels == label)].mean())
            for label in np.unique(trace.labels[side])
        }
        for name, (side, _) in sides.items()
    }
    both = sorted(
        means["members"].keys() & means["non-members"].keys(),
        key=lambda label: means["members"][label],
    )
    for name, (_, colour) in sides.items():
        heights = [means[name][label] for label in both]
        place.plot(range(len(both)), heights, ".", color=colour, markersize=4, label=name)
    place.set(
        xlabel="classes, by the members' mean", ylabel=f"{rows[0].result.attack}: mean, last round"
    )
    place.xaxis.set_major_locator(MaxNLocator(integer=True))
    _logarithmic(place, "y")


def _logarithmic(place: Axes, *axes: str) -> None:
    """Make axes logarithmic, with ticks at powers of ten, if few at 2 and 5 times them, too."""
    for name in axes:
        place.set(**{f"{name}scale": "log"})
        axis = getattr(place, f"{name}axis")
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1,) if high > MANY * low else (1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


Drawer = Callable[[Axes, FigureSpec, Sequence[Row], Finder], None]

_KINDS: Mapping[str, Drawer] = {
    "line": _line,
    "roc": _roc,
    "histogram": _histogram,
    "course": _course,
    "reaction": _reaction,
    "by-class": _by_class,
}


def _grouped(rows: Sequence[Row], coordinate: str | None) -> dict[str, list[Row]]:
    """Return rows by their value of a coordinate, in order; all of them where it is None."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.coordinates[coordinate] if coordinate else "", []).append(row)
    if not groups:
        raise FedsimError("a figure has nothing to draw; look at its `only`")
    return groups


def _coloured(groups: Mapping[str, list[Row]]) -> list[tuple[str, tuple[str, list[Row]]]]:
    return [
        (ADVERSARY_COLOURS[place % len(ADVERSARY_COLOURS)], group)
        for place, group in enumerate(groups.items())
    ]
