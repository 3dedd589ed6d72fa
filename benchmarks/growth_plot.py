"""Draw what `growth.py --json FILE` has written: ``python growth_plot.py FILE FIGURE.svg``.

Points are measured, lines are the fitted laws, dashed where they go on beyond what was measured.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from growth import medians
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedsim.studies.canvas import STYLE

COLOURS = {
    "one at a time": "#1f6f8b",
    "stacked": "#d1495b",
    "2 workers": "#edae49",
    "ray": "#5b5f97",
}
MARKERS = {"one at a time": "o", "stacked": "s", "2 workers": "^", "ray": "D"}
LARGEST = 100_000


def draw(figures: dict[str, Any]) -> Figure:
    """Return rounds a second and memory by the number of participants."""
    canvas = Figure(figsize=(7.4, 3.4), layout="constrained")
    speed, memory = canvas.subplots(1, 2)
    for engine, laws in figures["laws, everybody"].items():
        own = [point for point in figures["everybody"] if point["engine"] == engine]
        measured = {n: 1 / taken["wall"] for n, taken in medians(own).items()}
        _drawn(speed, engine, measured, laws["wall"], rate=True)
        peaks = {p["participants"]: p["megabytes"] for p in own if p["megabytes"]}
        _drawn(memory, engine, peaks, laws["megabytes"])
    for place, title in ((speed, "rounds a second"), (memory, "memory, MB")):
        place.set(xscale="log", yscale="log", xlabel="participants, all in every round")
        place.set_title(title, fontsize=9)
    handles, labels = speed.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=4)
    return canvas


def _drawn(
    place: Axes, engine: str, measured: dict[int, float], law: dict[str, float], rate: bool = False
) -> None:
    colour, last = COLOURS[engine], max(measured)
    place.plot(
        list(measured),
        list(measured.values()),
        linestyle="none",
        marker=MARKERS[engine],
        markersize=4,
        color=colour,
        label=engine,
    )
    for first, end, style in ((min(measured), last, "solid"), (last, LARGEST, "dashed")):
        along = np.geomspace(first, end, 50)
        values = law["a"] + law["b"] * along
        place.plot(
            along, 1 / values if rate else values, linestyle=style, linewidth=1, color=colour
        )


if __name__ == "__main__":
    with mpl.rc_context(STYLE):
        canvas = draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        canvas.savefig(sys.argv[2], format="svg", metadata={"Date": None, "Creator": "fedsim"})
