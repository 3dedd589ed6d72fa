"""Charts of attacks, from plain records to plotly figures; nothing is computed here.

Names are escaped, because plotly interprets markup in labels. The common style is in
`fedsim.report.chart_style`.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from fedsim.report.chart_data import (
    AucByRound,
    ByClass,
    ScoreHistogram,
    SignalCourse,
)
from fedsim.report.chart_style import (
    MEMBER,
    NONMEMBER,
    adversary_colours,
    empty_figure,
    faint,
    logarithmic_ticks,
    whiskers,
    whole_numbers,
)
from fedsim.report.formatting import area


def histogram(shares: ScoreHistogram) -> go.Figure:
    """Return the distributions of the scores of members and of non-members."""
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
    """Return the AUC by observed round, with intervals, one line per adversary."""
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
