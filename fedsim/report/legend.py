"""The legend that both ROC charts share: a line per adversary, a button per trace."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.report.chart_data import RocTrace
from fedsim.report.chart_style import adversary_colours
from fedsim.report.roc_charts import line_style, shown_at_first


@dataclass(frozen=True)
class LegendEntry:
    """A trace of the ROC charts: its number there, its line's style, whether it is drawn."""

    trace: int
    roc: RocTrace
    style: str
    shown: bool


@dataclass(frozen=True)
class LegendLine:
    """An adversary, its colour and its traces."""

    adversary: str
    colour: str
    entries: list[LegendEntry]


def legend(rocs: Sequence[RocTrace]) -> list[LegendLine]:
    """Return the legend of the ROC charts."""
    shown = shown_at_first(rocs)
    entries = [
        LegendEntry(place + 1, one, line_style(rocs, one), shown[place])
        for place, one in enumerate(rocs)
    ]
    return [
        LegendLine(adversary, colour, [e for e in entries if e.roc.adversary == adversary])
        for adversary, colour in adversary_colours(r.adversary for r in rocs).items()
    ]
