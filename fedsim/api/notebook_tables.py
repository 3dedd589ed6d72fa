"""Table cells and data frames for the results of `fedsim.api`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from fedsim.report.formatting import (
    figure_text,
    interval_text,
    with_interval,
    with_unit,
)
from fedsim.report.html_table import Heading
from fedsim.report.result_schema import MetricInfo, ResultRow

if TYPE_CHECKING:
    import pandas as pd


def metric_rows(row: ResultRow) -> Iterator[dict[str, str | float]]:
    """Yield each metric of a row with its interval."""
    for name, figure in row.figures.items():
        yield {"metric": name, "value": figure.value, "low": figure.low, "high": figure.high}


def metric_headings(metrics: Mapping[str, MetricInfo]) -> list[Heading]:
    """Return a heading for each metric, with its unit."""
    return [Heading(with_unit(info), number=True) for info in metrics.values()]


def figures_in_words(row: ResultRow, metrics: Mapping[str, MetricInfo]) -> list[str]:
    """Return each figure with its interval; empty where there is none."""
    return [
        with_interval(figure_text(figure.value, info.unit), interval_text(figure, info.unit))
        if (figure := row.figures.get(name))
        else ""
        for name, info in metrics.items()
    ]


def data_frame(records: Iterable[Mapping[str, object]]) -> "pd.DataFrame":
    """Return records as a data frame."""
    import pandas as pd  # imported here because it takes a second

    return pd.DataFrame.from_records(list(records))
