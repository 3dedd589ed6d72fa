"""Charts of figures with intervals: a line per attack, with a mark per adversary."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from fedsim.evaluation import Difference
from fedsim.report.chart_style import (
    NONMEMBER,
    adversary_colours,
    empty_figure,
    offset_in_line,
    one_line_each,
    whiskers,
)
from fedsim.report.formatting import area, signed
from fedsim.report.result_schema import MetricFigure, ResultRow


@dataclass(frozen=True)
class NamedDifference:
    """The difference of a contender's AUC in an attack from the reference."""

    contender: str
    attack: str
    auc: Difference


@dataclass(frozen=True)
class _Mark:
    """One figure with its interval: whose, in which attack."""

    whose: str
    attack: str
    figure: MetricFigure | Difference


def side_by_side(rows: Sequence[ResultRow]) -> go.Figure:
    """Return the AUC of every attack with its interval, adversaries one above the other."""
    figure = empty_figure("AUC, with 95 % interval", None)
    colours = adversary_colours(row.adversary for row in rows)
    _draw(figure, [_Mark(row.adversary, row.attack, row.auc) for row in rows], colours, area, "")
    lowest = min((row.auc.low for row in rows), default=0.5)
    figure.update_xaxes(range=[min(0.48, lowest - 0.02), 1.005])
    figure.add_vline(x=0.5, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    return figure


def differences(rows: Sequence[NamedDifference], contenders: Sequence[str]) -> go.Figure:
    """Return the differences of AUC with their intervals; `contenders` in the order of colours."""
    figure = empty_figure("difference of AUC, with 95 % interval", None)
    colours = adversary_colours(contenders)
    _draw(figure, [_Mark(row.contender, row.attack, row.auc) for row in rows], colours, signed, "+")
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": NONMEMBER})
    return figure


def _draw(
    figure: go.Figure,
    marks: Iterable[_Mark],
    colours: Mapping[str, str],
    write: Callable[[float], str],
    sign: str,
) -> None:
    """Draw a line for each attack, with a mark for each contender."""
    every = list(marks)
    attacks = list(dict.fromkeys(mark.attack for mark in every))
    for place, (whose, colour) in enumerate(colours.items()):
        own = [mark for mark in every if mark.whose == whose]
        if not own:
            continue
        values = [mark.figure.value for mark in own]
        lows, highs = [mark.figure.low for mark in own], [mark.figure.high for mark in own]
        figure.add_scatter(
            x=values,
            y=[attacks.index(mark.attack) + offset_in_line(place, len(colours)) for mark in own],
            error_x=whiskers(values, lows, highs),
            mode="markers",
            name=escape(whose),
            marker={"color": colour, "size": 8},
            customdata=[
                [mark.attack, write(low), write(high)]
                for mark, low, high in zip(own, lows, highs, strict=True)
            ],
            hovertemplate=f"%{{customdata[0]}}: %{{x:{sign}.3f}} "
            "(%{customdata[1]} to %{customdata[2]})",
        )
    one_line_each(figure, attacks, len(colours))
