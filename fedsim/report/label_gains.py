"""What is said of attacks beside a label that alone tells members from others."""

from collections.abc import Iterator

from fedsim.report.formatting import difference_text
from fedsim.report.results import ResultRow, Results

SHOWN = ("accuracy", "auc")


def label_gain_lines(results: Results) -> list[str]:
    """Return, for each adversary whose label baseline is above guessing, each attack's gain."""
    lines = []
    for adversary in results.adversaries():
        rows = [row for row in results.summary() if row.adversary == adversary and row.over_label]
        if rows:
            gains = "; ".join(f"{row.attack} {', '.join(_gains(row, results))}" for row in rows)
            lines.append(
                f"{adversary}: a record's label alone tells members from others here, so read the "
                f"figures as gains over it, not over guessing: {gains}"
            )
    return lines


def _gains(row: ResultRow, results: Results) -> Iterator[str]:
    for name in SHOWN:
        if (gain := row.over_label.get(name)) is not None:
            info = results.metrics[name]
            value, low, high = (
                difference_text(one, info.unit) for one in (gain.value, gain.low, gain.high)
            )
            yield f"{info.heading} {value} ({low} to {high})"
