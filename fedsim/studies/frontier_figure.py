"""The figure of a frontier: leakage against utility, a panel per adversary, a line per defence."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from fedsim.report.chart_style import ADVERSARY_COLOURS
from fedsim.studies.canvas import PANELS_A_LINE, drawn_as_svg
from fedsim.studies.frontier import Frontier, FrontierPoint
from fedsim.studies.pareto import MeanEstimate
from fedsim.studies.strengths import UNDEFENDED

PANEL_WIDTH, PANEL_HEIGHT, LEGEND_LINE = 3.9, 3.6, 0.22
LEGEND_COLUMNS = 4
MARKERS = "osD^vP"
UNDEFENDED_STYLE = ("#333333", "*")
MARGIN = 0.08
"""Around the points, as a share of how far they lie apart; intervals may go beyond."""


def frontier_svg(found: Frontier) -> str:
    """Return the figure of a frontier as SVG; the same points give the same bytes."""
    across = min(len(found.points), PANELS_A_LINE)
    down = -(-len(found.points) // across)
    styles = _styles(found)
    height = PANEL_HEIGHT * down + LEGEND_LINE * -(-len(styles) // LEGEND_COLUMNS)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots(down, across, squeeze=False, sharey=True).flatten()
        for place, (adversary, points) in zip(axes, found.points.items(), strict=False):
            _panel(place, found, points, styles)
            place.set_title(adversary, fontsize=9)
        for unused in axes[len(found.points) :]:
            unused.set_visible(False)
        for place in axes[::across]:
            place.set_ylabel(f"{found.metrics[found.spec.leakage].long_heading}, strongest attack")
        _limit(axes[0], found)
        canvas.legend(
            handles=[
                Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1, label=name)
                for name, (colour, marker) in styles.items()
            ],
            loc="outside lower center",
            ncols=LEGEND_COLUMNS,
        )

    return drawn_as_svg((PANEL_WIDTH * across, height), draw)


def _styles(found: Frontier) -> dict[str, tuple[str, str]]:
    """Return a colour and a mark for each defence; no two defences have the same pair."""
    defences = dict.fromkeys(
        point.defence for points in found.points.values() for point in points if point.is_defended
    )
    styles = {UNDEFENDED: UNDEFENDED_STYLE}
    for place, name in enumerate(defences):
        again = place // len(ADVERSARY_COLOURS)
        styles[name] = (
            ADVERSARY_COLOURS[place % len(ADVERSARY_COLOURS)],
            MARKERS[(place + again) % len(MARKERS)],
        )
    return styles


def _panel(
    place: Axes,
    found: Frontier,
    points: Sequence[FrontierPoint],
    styles: Mapping[str, tuple[str, str]],
) -> None:
    scale = 100 if found.utility.unit == "percent" else 1
    for defence, several in groupby(points, key=lambda point: point.defence):
        own = list(several)
        colour, marker = styles[defence]
        x = [scale * point.utility.value for point in own]
        y = [found.leaked(point) for point in own]
        place.plot(x, y, color=colour, linewidth=1, alpha=0.7, zorder=2)
        for point, at, leaked in zip(own, x, y, strict=True):
            place.errorbar(
                [at],
                [leaked],
                xerr=_reach(point.utility, scale),
                yerr=_reach(point.leakage[found.spec.leakage].figure, 1),
                color=colour,
                elinewidth=0.7,
                alpha=0.35,
                zorder=1,
            )
            size = 9 if defence == UNDEFENDED else 5
            place.plot(
                [at],
                [leaked],
                marker=marker,
                markersize=size,
                markeredgecolor=colour,
                markeredgewidth=1,
                markerfacecolor=colour if point.undominated else "white",
                linestyle="none",
                zorder=3,
            )
    _front(place, found, points, scale)
    place.set_xlabel(f"test {found.utility.name}" + (", %" if scale == 100 else ""))
    values = np.array([scale * point.utility.value for point in points])
    around = MARGIN * (float(np.ptp(values)) or 1.0)
    limits = (float(values.min()) - around, float(values.max()) + around)
    # More utility is always to the right.
    place.set_xlim(*(limits if found.utility.higher_is == "better" else limits[::-1]))


def _front(place: Axes, found: Frontier, points: Sequence[FrontierPoint], scale: float) -> None:
    """Draw a step line along the undominated points."""
    best = sorted(
        (scale * point.utility.value, found.leaked(point)) for point in points if point.undominated
    )
    # Between two of them one has the utility of the lower and the leakage of the higher.
    place.step(
        [x for x, _ in best],
        [y for _, y in best],
        where="pre" if found.utility.higher_is == "better" else "post",
        color="#888888",
        linestyle=":",
        linewidth=1.2,
        zorder=0,
    )


def _limit(place: Axes, found: Frontier) -> None:
    """Fit the shared axis of leakage to the points and to guessing."""
    values = [found.leaked(point) for points in found.points.values() for point in points]
    guessing = found.metrics[found.spec.leakage].guessing
    if guessing is not None:
        values.append(guessing)
    around = MARGIN * ((max(values) - min(values)) or 1.0)
    place.set_ylim(min(values) - around, max(values) + around)


def _reach(estimate: MeanEstimate, scale: float) -> list[list[float]] | None:
    """Return how far an interval reaches below and above its value, as matplotlib wants it."""
    if estimate.low is None or estimate.high is None:
        return None
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return [[scale * max(0.0, below)], [scale * max(0.0, above)]]
