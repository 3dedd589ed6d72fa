"""Findings of adversaries and attacks in the terminal: a line of figures, and the table."""

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from fedsim.finding import OwnedFinding
from fedsim.report.formatting import number
from fedsim.report.wide_tables import TableColumn, WideTable


def finding_cell(value: str | int | float | bool | None) -> str:
    """Return the text of a cell.

    >>> finding_cell(0.12345), finding_cell(12), finding_cell(None), finding_cell(True)
    ('0.123', '12', '-', 'yes')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)


def finding_figures(finding: OwnedFinding) -> str:
    """Return the figures of a finding in one line."""
    return "   ".join(f"{name} {finding_cell(value)}" for name, value in finding.figures.items())


def finding_parts(findings: Iterable[OwnedFinding], width: int) -> Iterator[Text | Table]:
    """Yield the renderables of findings for a terminal of a given width."""
    for finding in findings:
        yield Text.assemble((finding.title, "bold"), f"  {finding.owner}")
        if finding.figures:
            yield Text(finding_figures(finding))
        if finding.columns:
            table = WideTable([TableColumn(one) for one in finding.columns])
            for row in finding.rows:
                table.add(*map(finding_cell, row))
            yield from table.fitted(width)
        yield Text()
