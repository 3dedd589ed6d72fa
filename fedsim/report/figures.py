"""The charts of a report, from plain records to plotly figures; nothing is measured here.

Names are escaped: plotly reads markup in its labels. What all have in common is in
`fedsim.report.drawing`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fedsim.report.data import (
    AucByRound,
    ByClass,
    CeilingTrace,
    RocTrace,
    ScoreHistogram,
    SignalCourse,
    UtilityPoint,
)
from fedsim.report.drawing import (
    MEMBER,
    NONMEMBER,
    TEST,
    TRAIN,
    adversary_colours,
    empty_figure,
    faint,
    logarithmic_ticks,
    whiskers,
    whole_numbers,
)
from fedsim.report.formatting import area
from fedsim.report.utility_info import UtilityInfo

_PERCENT = {"tickformat": ".0%", "rangemode": "tozero"}
_DASHES = ("solid", "dash", "longdash")


def utility(
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
    """Return what the axis of utility is called, how it is drawn, and how a point is written."""
    name = " or ".join(one.name for one in shown)
    if all(one.unit == "percent" for one in shown):
        return name, _PERCENT | {"range": [0, 1.02]}, "%{y:.1%}"
    return name, {"rangemode": "tozero"}, "%{y:.3g}"


def utilities(
    courses: Mapping[str, Sequence[UtilityPoint]], shown: Sequence[UtilityInfo]
) -> go.Figure:
    """Return the utility of several runs over the rounds, on training records dotted.

    `shown` are the figures that it is of: one, unless the runs have different objectives.
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


def roc(
    traces: Sequence[RocTrace], ceilings: Sequence[CeilingTrace] = (), *, logarithmic: bool
) -> go.Figure:
    """Return the ROC curves: trace 0 is guessing, trace 1 + i the i-th of `traces`.

    After them come the ceilings that guarantees are to them, one an adversary.

    There is no legend: the page has one for both kinds of axis. `shown_at_first` says which traces
    are drawn before the reader asks for more.
    """
    figure = empty_figure("false positive rate", "true positive rate")
    # Zero has no place on a logarithmic axis: begin at the smallest rate that was measured.
    rates = [float(np.asarray(t.fpr)[np.asarray(t.fpr) > 0].min()) for t in traces]
    floor = min(rates, default=1e-3) if logarithmic else 0.0
    figure.add_scatter(
        x=[floor, 1.0],
        y=[floor, 1.0],
        name="guessing",
        mode="lines",
        line={"color": NONMEMBER, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    colours = adversary_colours(trace.adversary for trace in traces)
    for trace, shown in zip(traces, shown_at_first(traces), strict=True):
        drawn = np.asarray(trace.fpr) >= floor
        figure.add_scatter(
            x=np.asarray(trace.fpr)[drawn].tolist(),
            y=np.asarray(trace.tpr)[drawn].tolist(),
            name=escape(f"{trace.attack} · {trace.adversary}"),
            mode="lines",
            visible=shown,
            line={
                "color": colours[trace.adversary],
                "width": 1.2 if trace.baseline else 2.2,
                "dash": line_style(traces, trace),
                "shape": "hv",
            },
            hovertemplate=f"AUC {area(trace.auc)}<br>FPR %{{x:.2%}}, TPR %{{y:.1%}}",
        )
    for ceiling in ceilings:
        drawn = np.asarray(ceiling.fpr) >= floor
        figure.add_scatter(
            x=np.asarray(ceiling.fpr)[drawn].tolist(),
            y=np.asarray(ceiling.tpr)[drawn].tolist(),
            name=escape(f"ceiling · {ceiling.adversary}"),
            mode="lines",
            line={"color": colours.get(ceiling.adversary), "width": 1, "dash": "dashdot"},
            hovertemplate=f"most that epsilon {ceiling.epsilon:.3g} allows"
            "<br>FPR %{x:.2%}, TPR %{y:.1%}",
        )
    if logarithmic:
        scale = {"type": "log", "range": [float(np.log10(floor)), 0.02], "dtick": 1}
        figure.update_xaxes(**scale, tickformat="~%")
        figure.update_yaxes(**scale, tickformat="~%")
    else:
        figure.update_xaxes(range=[0, 1], tickformat=".0%")
        figure.update_yaxes(range=[0, 1.01], tickformat=".0%")
    figure.update_layout(height=400, showlegend=False)
    return figure


def shown_at_first(traces: Sequence[RocTrace]) -> list[bool]:
    """Return which ROCs are drawn at first: attacks, and each adversary's best baseline."""
    best = {
        adversary: max((t for t in traces if t.adversary == adversary and t.baseline), key=_auc)
        for adversary in {t.adversary for t in traces if t.baseline}
    }
    return [not trace.baseline or best[trace.adversary] is trace for trace in traces]


def _auc(trace: RocTrace) -> float:
    return trace.auc


def line_style(traces: Sequence[RocTrace], trace: RocTrace) -> str:
    """Return how a ROC is dashed: baselines dotted, an adversary's attacks each in its own way."""
    attacks = [t.attack for t in traces if t.adversary == trace.adversary and not t.baseline]
    return "dot" if trace.baseline else _DASHES[attacks.index(trace.attack) % len(_DASHES)]


def histogram(shares: ScoreHistogram) -> go.Figure:
    """Return how the scores of members and of non-members are spread."""
    edges = np.asarray(shares.edges, dtype=np.float64)
    figure = empty_figure("score (higher: member)", "share of records", yaxis={"tickformat": "~%"})
    for name, colour, values in (
        ("non-members", NONMEMBER, shares.nonmembers),
        ("members", MEMBER, shares.members),
    ):
        figure.add_bar(
            x=((edges[1:] + edges[:-1]) / 2).tolist(),
            y=np.asarray(values).tolist(),
            width=float(edges[1] - edges[0]),
            name=name,
            marker={"color": colour, "opacity": 0.6, "line": {"width": 0}},
            hovertemplate="%{y:.1%}",
        )
    figure.update_layout(barmode="overlay", bargap=0, hovermode="x unified", height=300)
    return figure


def course(signal: SignalCourse, step: str = "round") -> go.Figure:
    """Return a signal of members and of non-members over the rounds: medians in quartile bands."""
    rounds = np.asarray(signal.rounds).tolist()
    figure = empty_figure(step, escape(signal.quantity), whole_numbers(rounds))
    for name, colour, values in (
        ("non-members", NONMEMBER, signal.nonmembers),
        ("members", MEMBER, signal.members),
    ):
        low, median, high = (column.tolist() for column in np.asarray(values).T)
        figure.add_scatter(
            x=rounds + rounds[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor=faint(colour),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            mode="lines",
        )
        figure.add_scatter(
            x=rounds,
            y=median,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            customdata=list(zip(low, high, strict=True)),
            hovertemplate="%{y:.3g} (%{customdata[0]:.3g} to %{customdata[1]:.3g})",
        )
    # Norms fall by orders of magnitude over a training; a signal that reaches 0 stays linear.
    both = np.concatenate([signal.members, signal.nonmembers])
    if both.min() > 0:
        ticks = logarithmic_ticks(float(both.min()), float(both.max()))
        labels = [f"{tick:g}" for tick in ticks]
        figure.update_yaxes(type="log", tickmode="array", tickvals=ticks, ticktext=labels)
    figure.update_layout(hovermode="x unified", height=320)
    return figure


def by_class(accuracy: ByClass) -> go.Figure:
    """Return the attack's accuracy by class, the most exposed class first."""
    ordered = sorted(accuracy.classes, key=lambda one: -one.accuracy)
    figure = empty_figure("class, most exposed first", "accuracy", yaxis={"tickformat": ".0%"})
    figure.add_scatter(
        x=[str(one.label) for one in ordered],
        y=[one.accuracy for one in ordered],
        mode="markers",
        marker={"color": MEMBER, "size": 6},
        customdata=[one.records for one in ordered],
        hovertemplate="class %{x}: %{y:.1%} of %{customdata} records<extra></extra>",
    )
    figure.add_hline(y=0.5, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    figure.update_xaxes(type="category", nticks=10, showgrid=False)
    figure.update_layout(height=300, showlegend=False)
    return figure


def exposure(series: Sequence[AucByRound], step: str = "round") -> go.Figure:
    """Return the AUC by observed round, with intervals, a line an adversary."""
    figure = empty_figure(step, "AUC", whole_numbers(r for one in series for r in one.rounds))
    colours = adversary_colours(one.adversary for one in series)
    for one in series:
        figure.add_scatter(
            x=list(one.rounds),
            y=list(one.auc),
            error_y=whiskers(one.auc, one.low, one.high),
            name=escape(_named(series, one)),
            mode="lines+markers",
            line={"color": colours[one.adversary], "width": 2},
            marker={"size": 5},
            customdata=[[area(lo), area(h)] for lo, h in zip(one.low, one.high, strict=True)],
            hovertemplate="%{y:.3f} (%{customdata[0]} to %{customdata[1]})",
        )
    figure.update_layout(hovermode="x unified", height=400)
    return figure


def _named(series: Sequence[AucByRound], one: AucByRound) -> str:
    """Return a line's name: the adversary, and the attack where there are several."""
    several = len({other.attack for other in series}) > 1
    return f"{one.attack} · {one.adversary}" if several else one.adversary
