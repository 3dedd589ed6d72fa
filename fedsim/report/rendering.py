"""Rendering of templates to a single self-contained HTML file, without network or server.

Templates, style sheet and script are embedded in the page, with the figures and plotly.js in
compressed form, which the browser unpacks; a page has about 2 MB. A content security policy forbids
all requests. Text from configs, plugins and data is escaped: by jinja2 in the text, as plotly's
markup in the charts.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FunctionLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from fedsim.report import formatting
from fedsim.report.cost_table import cost_cells, cost_headings, cost_remarks
from fedsim.report.finding_tables import finding_cell
from fedsim.report.traffic import traffic_words

_DIGITS = 5
"""Significant digits of a figure in a chart: more than a screen has pixels."""


@dataclass(frozen=True)
class Chart:
    """A figure with an id, a title, and a description for screen readers."""

    key: str
    figure: go.Figure
    title: str
    alt: str
    muted: bool = False


def rendered(template: str, charts: Mapping[str, Iterable[Chart]], **context: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template
        Its file.
    charts
        By section of the page; a section without any is left out there.
    context
        What else the template shows.
    """
    made = {section: list(some) for section, some in charts.items()}
    figures = {chart.key: _plain(chart.figure) for some in made.values() for chart in some}
    return (
        _environment()
        .get_template(template)
        .render(
            charts=made,
            figures=_packed(json.dumps(figures)),
            style=_own("page.css"),
            script=_own("page.js"),
            plotly=_packed_plotly(),
            **context,
        )
    )


@cache
def _environment() -> Environment:
    """Return the jinja2 environment; templates are compiled once per process."""
    environment = Environment(
        loader=FunctionLoader(_own),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formatting, name)
        for name in (
            *("percent", "area", "signed", "points", "probability", "plural", "with_unit"),
            *("figure_text", "interval_text", "difference_text", "utility_name", "utility_text"),
            "knowledge_lines",
        )
    }
    environment.filters["cost_cells"] = cost_cells
    environment.filters["finding_cell"] = finding_cell
    environment.filters["cost_remarks"] = cost_remarks
    environment.filters["cost_headings"] = cost_headings
    environment.filters["traffic_words"] = traffic_words
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment


def _plain(figure: go.Figure) -> object:
    return _shortened(json.loads(figure.to_json()))


def _shortened(content: Any) -> Any:
    """Return JSON data with rounded numbers: invisible digits would be half of a page."""
    if isinstance(content, float):
        return float(f"{content:.{_DIGITS}g}")
    if isinstance(content, list):
        return [_shortened(one) for one in content]
    if isinstance(content, dict):
        return {name: _shortened(one) for name, one in content.items()}
    return content


def _own(name: str) -> str:
    return files("fedsim.report").joinpath(name).read_text(encoding="utf-8")


def _packed(text: str) -> str:
    """Return a text compressed, in base64; the same bytes every time."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def _packed_plotly() -> str:
    return _packed(get_plotlyjs())
