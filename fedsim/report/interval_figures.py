"""Charts of figures with their intervals: every attack a line, every adversary a mark in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from fedsim.evaluation import Difference
from fedsim.report.drawing import (
    NONMEMBER,
    adversary_colours,
    empty_figure,
    offset_in_line,
    one_line_each,
    whiskers,
)
from fedsim.report.formatting import area, signed
from fedsim.report.results import ResultRow


def side_by_side(rows: Sequence[ResultRow]) -> go.Figure:
    """Return the AUC of every attack with its interval, adversaries one above the other."""
    attacks = list(dict.fromkeys(row.attack for row in rows))
    figure = empty_figure("AUC, with 95 % interval", None)
    colours = adversary_colours(row.adversary for row in rows)
    for place, (adversary, colour) in enumerate(colours.items()):
        own = [row for row in rows if row.adversary == adversary]
        figure.add_scatter(
            x=[row.auc.value for row in own],
            y=[attacks.index(row.attack) + offset_in_line(place, len(colours)) for row in own],
            error_x=whiskers(
                [row.auc.value for row in own],
                [row.auc.low for row in own],
                [row.auc.high for row in own],
            ),
            mode="markers",
            name=escape(adversary),
            marker={"color": colour, "size": 8},
            customdata=[[r.attack, area(r.auc.low), area(r.auc.high)] for r in own],
            hovertemplate="%{customdata[0]}: %{x:.3f} (%{customdata[1]} to %{customdata[2]})",
        )
    one_line_each(figure, attacks, len(colours))
    lowest = min((row.auc.low for row in rows), default=0.5)
    figure.update_xaxes(range=[min(0.48, lowest - 0.02), 1.005])
    figure.add_vline(x=0.5, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    return figure


@dataclass(frozen=True)
class NamedDifference:
    """How a contender's AUC in an attack differs from that of the attack's reference."""

    contender: str
    attack: str
    auc: Difference


def differences(rows: Sequence[NamedDifference], contenders: Sequence[str]) -> go.Figure:
    """Return the differences of AUC with their intervals; `contenders` in the order of colours."""
    attacks = list(dict.fromkeys(row.attack for row in rows))
    figure = empty_figure("difference of AUC, with 95 % interval", None)
    colours = adversary_colours(contenders)
    for place, (contender, colour) in enumerate(colours.items()):
        own = [row for row in rows if row.contender == contender]
        if not own:
            continue
        figure.add_scatter(
            x=[row.auc.value for row in own],
            y=[attacks.index(row.attack) + offset_in_line(place, len(colours)) for row in own],
            error_x=whiskers(
                [row.auc.value for row in own],
                [row.auc.low for row in own],
                [row.auc.high for row in own],
            ),
            mode="markers",
            name=escape(contender),
            marker={"color": colour, "size": 8},
            customdata=[[r.attack, signed(r.auc.low), signed(r.auc.high)] for r in own],
            hovertemplate="%{customdata[0]}: %{x:+.3f} (%{customdata[1]} to %{customdata[2]})",
        )
    one_line_each(figure, attacks, len(colours))
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    return figure
