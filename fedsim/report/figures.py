"""The charts of a report, from plain records to plotly figures; nothing is measured here.

A colour stands for an adversary, or for members and non-members. The colours hold on white and on
near-black; everything else (text, grid) is coloured where the page is shown, so that one figure
serves a light and a dark page. Names are escaped: plotly reads markup in its labels.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fedsim.report.data import ByClass, Course, Exposure, RocTrace, ScoreHistogram, UtilityPoint
from fedsim.report.results import Result
from fedsim.report.words import area

ADVERSARY_COLOURS = ("#2f7ed8", "#e0812c", "#2a9d6f", "#9b6bc9", "#cf4a62", "#1d98ad")
MEMBER, NONMEMBER = "#cf4a62", "#7488a3"
TRAIN, TEST = "#9b6bc9", "#2a9d6f"
_PERCENT = {"tickformat": ".0%", "rangemode": "tozero"}
_DASHES = ("solid", "dash", "longdash")


def utility(points: Sequence[UtilityPoint]) -> go.Figure:
    """Return train and test accuracy over the rounds."""
    figure = _figure("round", "accuracy", yaxis=_PERCENT | {"range": [0, 1.02]})
    for name, colour, values in (
        ("train", TRAIN, [point.train_accuracy for point in points]),
        ("test", TEST, [point.test_accuracy for point in points]),
    ):
        known = [(p.round, v) for p, v in zip(points, values, strict=True) if v is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y for _, y in known],
            name=name,
            mode="lines+markers" if len(known) < 25 else "lines",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            hovertemplate="%{y:.1%}",
        )
    figure.update_layout(hovermode="x unified")
    return figure


def side_by_side(rows: Sequence[Result]) -> go.Figure:
    """Return the AUC of every attack with its interval, adversaries one above the other."""
    attacks = list(dict.fromkeys(row.attack for row in rows))
    figure = _figure("AUC, with 95 % interval", None, yaxis={"autorange": "reversed"})
    colours = adversary_colours(row.adversary for row in rows)
    # Adversaries of one attack stand apart so that intervals do not hide, and keep to their attack.
    apart = min(0.2, 0.75 / max(len(colours), 1))
    for place, (adversary, colour) in enumerate(colours.items()):
        own = [row for row in rows if row.adversary == adversary]
        offset = apart * (place - (len(colours) - 1) / 2)
        figure.add_scatter(
            x=[row.auc for row in own],
            y=[attacks.index(row.attack) + offset for row in own],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.interval.auc.high - row.auc for row in own],
                "arrayminus": [row.auc - row.interval.auc.low for row in own],
                "thickness": 1.5,
                "width": 0,
            },
            mode="markers",
            name=escape(adversary),
            marker={"color": colour, "size": 8},
            customdata=[
                [r.attack, area(r.interval.auc.low), area(r.interval.auc.high)] for r in own
            ],
            hovertemplate="%{customdata[0]}: %{x:.3f} (%{customdata[1]} to %{customdata[2]})",
        )
    ticks = list(range(len(attacks)))
    figure.update_yaxes(
        tickmode="array",
        tickvals=ticks,
        ticktext=[escape(attack) for attack in attacks],
        showgrid=False,
    )
    lowest = min((row.interval.auc.low for row in rows), default=0.5)
    figure.update_xaxes(range=[min(0.48, lowest - 0.02), 1.005])
    figure.add_vline(x=0.5, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    figure.update_layout(height=110 + max(46, 15 * len(colours)) * max(len(attacks), 1))
    return figure


def roc(traces: Sequence[RocTrace], *, logarithmic: bool) -> go.Figure:
    """Return the ROC curves: trace 0 is guessing, trace 1 + i the i-th of `traces`.

    There is no legend: the page has one for both kinds of axis. `shown_at_first` says which traces
    are drawn before anybody asks for more.
    """
    figure = _figure("false positive rate", "true positive rate")
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
    figure = _figure("score (higher: member)", "share of records", yaxis={"tickformat": "~%"})
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


def course(signal: Course) -> go.Figure:
    """Return a signal of members and of non-members over the rounds: medians in quartile bands."""
    figure = _figure("round", escape(signal.quantity))
    rounds = np.asarray(signal.rounds).tolist()
    for name, colour, values in (
        ("non-members", NONMEMBER, signal.nonmembers),
        ("members", MEMBER, signal.members),
    ):
        low, median, high = (column.tolist() for column in np.asarray(values).T)
        figure.add_scatter(
            x=rounds + rounds[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor=_faint(colour),
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
        ticks = _logarithmic_ticks(float(both.min()), float(both.max()))
        labels = [f"{tick:g}" for tick in ticks]
        figure.update_yaxes(type="log", tickmode="array", tickvals=ticks, ticktext=labels)
    figure.update_layout(hovermode="x unified", height=320)
    return figure


def by_class(accuracy: ByClass) -> go.Figure:
    """Return the attack's accuracy by class, the most exposed class first."""
    ordered = sorted(accuracy.classes, key=lambda one: -one.accuracy)
    figure = _figure("class, most exposed first", "accuracy", yaxis={"tickformat": ".0%"})
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


def exposure(series: Sequence[Exposure]) -> go.Figure:
    """Return the AUC by the last observed round, with intervals, a line an adversary."""
    figure = _figure("round", "AUC")
    colours = adversary_colours(one.adversary for one in series)
    for one in series:
        figure.add_scatter(
            x=list(one.rounds),
            y=list(one.auc),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [h - v for h, v in zip(one.high, one.auc, strict=True)],
                "arrayminus": [v - lo for lo, v in zip(one.low, one.auc, strict=True)],
                "thickness": 1,
                "width": 0,
            },
            name=escape(_named(series, one)),
            mode="lines+markers",
            line={"color": colours[one.adversary], "width": 2},
            marker={"size": 5},
            customdata=[[area(lo), area(h)] for lo, h in zip(one.low, one.high, strict=True)],
            hovertemplate="%{y:.3f} (%{customdata[0]} to %{customdata[1]})",
        )
    figure.update_layout(hovermode="x unified", height=400)
    return figure


def _named(series: Sequence[Exposure], one: Exposure) -> str:
    """Return a line's name: the adversary, and the attack where there are several."""
    several = len({other.attack for other in series}) > 1
    return f"{one.attack} · {one.adversary}" if several else one.adversary


def adversary_colours(adversaries: Iterable[str]) -> dict[str, str]:
    """Return a colour for each adversary, in the order of appearance."""
    names = dict.fromkeys(adversaries)
    return {
        name: ADVERSARY_COLOURS[place % len(ADVERSARY_COLOURS)] for place, name in enumerate(names)
    }


def _figure(
    x: str, y: str | None, xaxis: dict[str, Any] | None = None, yaxis: dict[str, Any] | None = None
) -> go.Figure:
    """Return an empty figure with the house's layout and named axes."""
    axis: dict[str, Any] = {"zeroline": False, "ticks": "", "automargin": True, "fixedrange": True}
    title = {"standoff": 8, "font": {"size": 13}}
    return go.Figure(
        layout={
            "template": None,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 20, "t": 8, "b": 8},
            "height": 340,
            "font": {"size": 13},
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
            "xaxis": axis | {"title": {"text": x} | title} | (xaxis or {}),
            "yaxis": axis | {"title": {"text": y} | title} | (yaxis or {}),
        }
    )


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between `low` and `high`, or the powers if many."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]


def _faint(colour: str) -> str:
    """Return a hexadecimal colour at a fifth of its strength."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
