"""Charts of utility over the rounds: of one run, and of several beside each other."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from fedsim.report.chart_data import (
    UtilityPoint,
)
from fedsim.report.chart_style import (
    TEST,
    TRAIN,
    adversary_colours,
    empty_figure,
    whole_numbers,
)
from fedsim.report.utility_info import UtilityInfo

_PERCENT = {"tickformat": ".0%", "rangemode": "tozero"}


def utility_chart(
    points: Sequence[UtilityPoint], figure_of: UtilityInfo, step: str = "round"
) -> go.Figure:
    """Return the figure of utility on training and test records over the rounds, or other steps."""
    rounds = whole_numbers(point.round for point in points)
    name, axis, hover = _utility_axis([figure_of])
    figure = empty_figure(step, name, rounds, axis)
    for name, colour, values in (
        ("train", TRAIN, [point.train for point in points]),
        ("test", TEST, [point.test for point in points]),
    ):
        known = [(p.round, v) for p, v in zip(points, values, strict=True) if v is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y for _, y in known],
            name=name,
            mode="lines+markers" if len(known) < 25 else "lines",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            hovertemplate=hover,
        )
    figure.update_layout(hovermode="x unified")
    return figure


def _utility_axis(shown: Sequence[UtilityInfo]) -> tuple[str, dict[str, Any], str]:
    """Return the title and the layout of the axis of utility, and the text of a point."""
    name = " or ".join(one.name for one in shown)
    if all(one.unit == "percent" for one in shown):
        return name, _PERCENT | {"range": [0, 1.02]}, "%{y:.1%}"
    return name, {"rangemode": "tozero"}, "%{y:.3g}"


def utilities_chart(
    courses: Mapping[str, Sequence[UtilityPoint]], shown: Sequence[UtilityInfo]
) -> go.Figure:
    """Return the utility of several runs over the rounds; dotted on training records.

    `shown` are the figures of utility: several only if the objectives differ.
    """
    rounds = whole_numbers(point.round for course in courses.values() for point in course)
    name_of, axis, hover = _utility_axis(shown)
    figure = empty_figure("round", name_of, rounds, axis)
    for run, colour in adversary_colours(courses).items():
        for name, dash in (("test", "solid"), ("train", "dot")):
            values = [(p.round, getattr(p, name)) for p in courses[run]]
            known = [(x, y) for x, y in values if y is not None]
            figure.add_scatter(
                x=[x for x, _ in known],
                y=[y for _, y in known],
                name=escape(f"{run}, {name}"),
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate=hover,
            )
    figure.update_layout(hovermode="x unified")
    return figure
