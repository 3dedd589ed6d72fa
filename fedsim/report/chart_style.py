"""The common style of charts: colours, axes, intervals.

A colour stands for an adversary, or for members and non-members. The colours hold on white and on
near-black; everything else (text, grid) is coloured where the page is shown, so that one figure
serves a light and a dark page.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

ADVERSARY_COLOURS = (
    *("#2f7ed8", "#e0812c", "#2a9d6f", "#9b6bc9", "#cf4a62", "#1d98ad"),
    *("#a9833a", "#c85fa8", "#6f8f3a", "#7a7fb0"),
)
_FEW_ROUNDS = 10
MEMBER, NONMEMBER = "#cf4a62", "#7488a3"
TRAIN, TEST = "#9b6bc9", "#2a9d6f"


def adversary_colours(adversaries: Iterable[str]) -> dict[str, str]:
    """Return a colour for each adversary, in the order of appearance."""
    names = dict.fromkeys(adversaries)
    return {
        name: ADVERSARY_COLOURS[place % len(ADVERSARY_COLOURS)] for place, name in enumerate(names)
    }


def empty_figure(
    x: str, y: str | None, xaxis: dict[str, Any] | None = None, yaxis: dict[str, Any] | None = None
) -> go.Figure:
    """Return an empty figure with the common layout and named axes."""
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


def whole_numbers(values: Iterable[float]) -> dict[str, Any]:
    """Return the ticks of an axis of rounds: whole numbers only.

    >>> whole_numbers([2, 4, 6]), whole_numbers([5, 40])
    ({'dtick': 1}, {})
    """
    known = list(values)
    few = bool(known) and max(known) - min(known) <= _FEW_ROUNDS
    return {"dtick": 1} if few else {}  # of more, plotly finds whole numbers by itself


def one_line_each(figure: go.Figure, attacks: Sequence[str], marks: int) -> None:
    """Give each attack its own line, the first on top, high enough for its marks."""
    figure.update_yaxes(
        autorange="reversed",
        tickmode="array",
        tickvals=list(range(len(attacks))),
        ticktext=[escape(attack) for attack in attacks],
        showgrid=False,
    )
    figure.update_layout(height=110 + max(46, 15 * marks) * max(len(attacks), 1))


def offset_in_line(place: int, count: int) -> float:
    """Return the offset of one of several marks within its line."""
    return min(0.2, 0.75 / count) * (place - (count - 1) / 2)


def whiskers(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> dict[str, Any]:
    """Return the intervals around values, as plotly draws them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for high, value in zip(highs, values, strict=True)],
        "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
        "thickness": 1.5,
        "width": 0,
    }


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between `low` and `high`, or the powers if many."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]


def faint(colour: str) -> str:
    """Return a hexadecimal colour at a fifth of its strength."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
