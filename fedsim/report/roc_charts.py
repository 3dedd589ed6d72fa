"""ROC curves of both kinds of pages, on linear and on logarithmic axes."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from fedsim.report.chart_data import (
    CeilingTrace,
    RocTrace,
)
from fedsim.report.chart_style import (
    NONMEMBER,
    adversary_colours,
    empty_figure,
)
from fedsim.report.formatting import area
from fedsim.report.rendering import Chart


def roc_charts(
    traces: Sequence[RocTrace], ceilings: Sequence[CeilingTrace] = ()
) -> Iterator[Chart]:
    """Yield both charts of these curves with their ceilings; none without curves."""
    if traces:
        linear = roc_chart(traces, ceilings, logarithmic=False)
        yield Chart("roc", linear, "Linear", "ROC curves on linear axes")
        low = roc_chart(traces, ceilings, logarithmic=True)
        yield Chart("roc-log", low, "Logarithmic", "ROC curves on logarithmic axes")


_DASHES = ("solid", "dash", "longdash")


def roc_chart(
    traces: Sequence[RocTrace], ceilings: Sequence[CeilingTrace] = (), *, logarithmic: bool
) -> go.Figure:
    """Return the ROC curves: trace 0 is guessing, trace 1 + i the i-th of `traces`.

    After them come the ceilings, one per adversary.

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
    """Return which ROCs are visible initially: attacks, and each adversary's best baseline."""
    best = {
        adversary: max((t for t in traces if t.adversary == adversary and t.baseline), key=_auc)
        for adversary in {t.adversary for t in traces if t.baseline}
    }
    return [not trace.baseline or best[trace.adversary] is trace for trace in traces]


def _auc(trace: RocTrace) -> float:
    return trace.auc


def line_style(traces: Sequence[RocTrace], trace: RocTrace) -> str:
    """Return the dash style of a ROC: baselines dotted, attacks in different styles."""
    attacks = [t.attack for t in traces if t.adversary == trace.adversary and not t.baseline]
    return "dot" if trace.baseline else _DASHES[attacks.index(trace.attack) % len(_DASHES)]
