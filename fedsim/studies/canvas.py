"""Drawing the figures of a study: matplotlib without its global state, saved as SVG."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

PANELS_A_LINE = 3
STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "fedsim",  # names of parts do not change from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def drawn_as_svg(size: tuple[float, float], draw: Callable[[Canvas], None]) -> str:
    """Return a drawing as SVG.

    Parameters
    ----------
    size
        Width and height, in inches.
    draw
        Draws on a given canvas; the same drawing gives the same bytes.
    """
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=size, layout="constrained")
        draw(canvas)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": "fedsim"})
    return text.getvalue()
