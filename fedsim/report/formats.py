"""A comparison as a file: JSON and CSV for programs, Markdown and LaTeX for papers.

Programs get tidy rows of plain numbers; papers get one line per contender with printed figures. No
text ends with a newline.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

from fedsim.evaluation import Difference
from fedsim.report.comparison_rows import ComparedRow, auc_in_words, metrics_of, reference_name
from fedsim.report.comparison_table import figure_cell
from fedsim.report.formatting import interval_text, with_interval, with_unit
from fedsim.report.result_schema import MetricFigure

_NAMES = 3
"""Columns in front of the figures."""


def as_json(rows: Sequence[ComparedRow]) -> str:
    """Return the tidy rows (see `tidy`) as a JSON array."""
    return json.dumps(tidy(rows), indent=2, allow_nan=False)


def as_csv(rows: Sequence[ComparedRow]) -> str:
    """Return the tidy rows (see `tidy`) as CSV with a heading line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_TIDY), lineterminator="\n")
    writer.writeheader()
    writer.writerows(tidy(rows))
    return text.getvalue().removesuffix("\n")


def as_markdown(rows: Sequence[ComparedRow]) -> str:
    """Return a table in Markdown, figures with their intervals."""
    headings, cells = _wide(rows)
    return markdown_table(headings, cells, left=_NAMES)


def as_latex(rows: Sequence[ComparedRow]) -> str:
    """Return a `tabular` in LaTeX, rules from the package booktabs."""
    import pandas as pd  # here: it takes a second, and only who wants a table waits for it

    headings, cells = _wide(rows)
    lines = [[" ".join(cell.split()) for cell in line] for line in cells]
    columns = "l" * _NAMES + "r" * (len(headings) - _NAMES)
    frame = pd.DataFrame(lines, columns=headings)
    text: str = frame.to_latex(index=False, escape=True, column_format=columns)
    return "".join(_LATEX.get(character, character) for character in text).rstrip("\n")


def markdown_table(
    headings: Sequence[str], cells: Sequence[Sequence[str]], *, left: int, escaped: bool = False
) -> str:
    """Return a table in Markdown.

    Parameters
    ----------
    headings, cells
        The first line, and the others.
    left
        How many columns are aligned to the left; the others have numbers.
    escaped
        Whether the texts are Markdown already; otherwise they are escaped.
    """

    def line(texts: Sequence[str]) -> str:
        return f"| {' | '.join(texts)} |"

    def plain(text: str) -> str:
        return text.replace("|", "\\|") if escaped else _markdown(text)

    # No spaces that line columns up: a cell may be long, and a page is read as it is shown.
    sides = ["---"] * left + ["---:"] * (len(headings) - left)
    lines = [sides, *([*map(plain, row)] for row in cells)]
    return "\n".join(map(line, [[*map(plain, headings)], *lines]))


FORMATS: Mapping[str, Callable[[Sequence[ComparedRow]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}

_TIDY = (
    *("attack", "run", "adversary", "victim", "metric", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "pairing"),
    *("reference_run", "reference_adversary", "over_label"),
)


def tidy(rows: Sequence[ComparedRow]) -> list[dict[str, str | float | None]]:
    """Return one record for each contender and metric; None where there is nothing.

    Metrics have the names that ``results.json`` calls them: ``accuracy``, ``auc``, ``tpr@0.01``.
    `difference` is this contender minus the `reference_adversary` of the `reference_run` in the
    same attack. `over_label` is the gain over the label baseline, where that beats guessing.
    """
    return [
        dict(
            zip(
                _TIDY,
                (
                    *(row.result.attack, row.run, row.result.adversary, row.result.victim),
                    *(name, figure.value, figure.low, figure.high),
                    *_against(row, name),
                    gain.value if (gain := row.result.over_label.get(name)) else None,
                ),
                strict=True,
            )
        )
        for row in rows
        for name, figure in row.result.figures.items()
    ]


def _against(row: ComparedRow, metric: str) -> tuple[float | str | None, ...]:
    difference: Difference | None = (
        None if row.difference is None else row.difference.figures.get(metric)
    )
    if row.difference is None or row.reference is None or difference is None:
        return (None,) * 7
    sizes = difference.value, difference.low, difference.high, difference.p
    return *sizes, row.difference.pairing, row.reference.run, row.reference.result.adversary


def _wide(rows: Sequence[ComparedRow]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of one line per contender, figures with their intervals."""
    metrics = metrics_of(rows)
    headings = ["attack", "run", "adversary", *map(with_unit, metrics.values())]
    headings += ["difference of AUC", "p", "against", "records"]
    lines = []
    for row in rows:
        line = [row.result.attack, row.run, row.result.adversary]
        for name, info in metrics.items():
            known: MetricFigure | None = row.result.figures.get(name)
            interval = interval_text(known, info.unit) if known else ""
            line.append(with_interval(figure_cell(row.result, name, info), interval))
        pairing = row.difference.pairing if row.difference else ""
        lines.append([*line, *auc_in_words(row.difference), reference_name(row), pairing])
    return headings, lines


def _markdown(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in " ".join(text.split()))


_LATEX = {
    "·": r"\textperiodcentered{}",
    "−": r"\textminus{}",  # noqa: RUF001 a true minus
    "–": "--",  # noqa: RUF001 a range's dash
}
"""What pdflatex lacks, and pandas leaves as it is."""
