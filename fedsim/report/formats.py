"""A comparison as a file: JSON and CSV for programs, Markdown and LaTeX for papers.

Programs get tidy rows of plain fractions; papers get one line a contender with figures as printed.
No text ends with a newline: whoever prints or writes it ends its last line.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

from fedsim.evaluation import Difference
from fedsim.report.comparison_rows import ComparedRow, auc_in_words, rate_cell, reference_name
from fedsim.report.formatting import (
    area,
    area_interval,
    percent,
    percent_interval,
    rate_name,
    rates_of,
)
from fedsim.report.results import Interval


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
    escaped = [[_markdown(cell) for cell in line] for line in [headings, *cells]]
    rule = [["---"] * 3 + ["---:"] * (len(headings) - 3)]
    lines = escaped[:1] + rule + escaped[1:]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_latex(rows: Sequence[ComparedRow]) -> str:
    """Return a `tabular` in LaTeX, rules from the package booktabs."""
    headings, cells = _wide(rows)
    head, *body = (" & ".join(map(_latex, line)) + r" \\" for line in [headings, *cells])
    columns = "lll" + "r" * (len(headings) - 3)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


FORMATS: Mapping[str, Callable[[Sequence[ComparedRow]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}

_TIDY = (
    *("attack", "run", "adversary", "victim", "metric", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "pairing"),
    *("reference_run", "reference_adversary"),
)


def tidy(rows: Sequence[ComparedRow]) -> list[dict[str, str | float | None]]:
    """Return one record for each contender and metric; fractions; None where there is nothing.

    Metrics are ``accuracy``, ``auc`` and ``tpr_at_0.01``-like. `difference` is this contender
    minus the `reference_adversary` of the `reference_run` in the same attack.
    """
    return [
        dict(zip(_TIDY, (*_who(row), *_figures(metric), *_against(row, difference)), strict=True))
        for row in rows
        for metric, difference in _metrics(row)
    ]


def _metrics(
    row: ComparedRow,
) -> list[tuple[tuple[str, float, Interval], Difference | None]]:
    """Return each metric's name, value and interval, and its difference from the reference."""
    result, against = row.result, row.difference
    found: list[tuple[tuple[str, float, Interval], Difference | None]] = [
        (
            ("accuracy", result.accuracy, result.interval.accuracy),
            against.accuracy if against else None,
        ),
        (("auc", result.auc, result.interval.auc), against.auc if against else None),
    ]
    for rate, value in result.tpr_at_fpr.items():
        figures = (f"tpr_at_{rate}", value, result.interval.tpr_at_fpr[rate])
        found.append((figures, against.tpr_at_fpr.get(float(rate)) if against else None))
    return found


def _who(row: ComparedRow) -> tuple[str, str, str, str]:
    return row.result.attack, row.run, row.result.adversary, row.result.victim


def _figures(metric: tuple[str, float, Interval]) -> tuple[str, float, float, float]:
    name, value, interval = metric
    return name, value, interval.low, interval.high


def _against(row: ComparedRow, difference: Difference | None) -> tuple[float | str | None, ...]:
    if row.difference is None or row.reference is None or difference is None:
        return (None,) * 7
    sizes = difference.value, difference.low, difference.high, difference.p
    return *sizes, row.difference.pairing, row.reference.run, row.reference.result.adversary


def _wide(rows: Sequence[ComparedRow]) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of one line a contender, figures with their intervals."""
    rates = rates_of(row.result.tpr_at_fpr for row in rows)
    headings = ["attack", "run", "adversary", "accuracy %", "AUC"]
    headings += [f"TPR @ {rate_name(rate)} FPR, %" for rate in rates]
    headings += ["difference of AUC", "p", "against", "records"]
    lines = []
    for row in rows:
        result, interval = row.result, row.result.interval
        line = [result.attack, row.run, result.adversary]
        line.append(f"{percent(result.accuracy)} ({percent_interval(interval.accuracy)})")
        line.append(f"{area(result.auc)} ({area_interval(interval.auc)})")
        for rate in rates:
            known = interval.tpr_at_fpr.get(rate)
            bounds = f" ({percent_interval(known)})" if known else ""
            line.append(rate_cell(result, rate) + bounds)
        pairing = row.difference.pairing if row.difference else ""
        lines.append([*line, *auc_in_words(row.difference), reference_name(row), pairing])
    return headings, lines


def _markdown(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in " ".join(text.split()))


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "·": r"\textperiodcentered{}",
    "−": r"\textminus{}",  # noqa: RUF001 a true minus
    "–": "--",  # noqa: RUF001 a range's dash
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
