"""The gains of attacks over the label baseline, where that beats guessing."""

from collections.abc import Iterable, Iterator, Mapping

from fedsim.report.formatting import difference_text
from fedsim.report.result_schema import MetricInfo, ResultRow
from fedsim.report.results import Results

SHOWN = ("accuracy", "auc")


def label_gain_lines(results: Results) -> list[str]:
    """Return, for each adversary whose label baseline is above guessing, each attack's gain."""
    return gain_lines(((row.adversary, row) for row in results.summary()), results.metrics)


def gain_lines(
    named: Iterable[tuple[str, ResultRow]], metrics: Mapping[str, MetricInfo]
) -> list[str]:
    """Return a line for each name whose label baseline is above guessing.

    Parameters
    ----------
    named
        Rows with the names of their adversaries.
    metrics
        How their figures are printed.
    """
    gains: dict[str, list[str]] = {}
    for whose, row in named:
        if row.over_label:
            said = f"{row.attack} {', '.join(_gains(row, metrics))}"
            gains.setdefault(whose, []).append(said)
    return [
        f"{whose}: a record's label alone separates members from non-members here, so read the "
        f"figures as gains over it, not over guessing: {'; '.join(said)}"
        for whose, said in gains.items()
    ]


def _gains(row: ResultRow, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    for name in SHOWN:
        if (gain := row.over_label.get(name)) is not None:
            info = metrics[name]
            value, low, high = (
                difference_text(one, info.unit) for one in (gain.value, gain.low, gain.high)
            )
            yield f"{info.heading} {value} ({low} to {high})"
