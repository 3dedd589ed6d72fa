"""The result of `fedsim.study`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.api.notebook_tables import (
    data_frame,
    metric_rows,
)
from fedsim.errors import plural
from fedsim.report.formatting import with_interval
from fedsim.report.html_table import Heading, html_table
from fedsim.studies.findings import Findings
from fedsim.studies.tables import Table, TableEntry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FinishedStudy:
    """A finished study.

    Attributes
    ----------
    path
        The folder of its page ``table.md``, its figures and ``table.json``.
    findings
        Its rows and tables.
    """

    path: Path
    findings: Findings

    def __repr__(self) -> str:
        return f"<FinishedStudy {self.path}: {plural(len(self.findings.rows), 'row')}>"

    def to_frame(self) -> "pd.DataFrame":
        """Return every figure, by the study's axes, adversary, attack and metric."""
        return data_frame(
            {**row.coordinates, **figure}
            for row in self.findings.rows
            for figure in metric_rows(row.result)
        )

    def _repr_html_(self) -> str:
        tables = "".join(map(_study_table, self.findings.tables))
        return tables or html_table((), (), f"{self.findings.study.title}: sizes only, no figures")


def _study_table(table: Table) -> str:
    headings = (
        *(Heading(name) for name in table.row_names),
        *(Heading(name, number=True) for name in table.columns),
    )
    lines = [(*key, *map(_entry, entries)) for key, entries in table.lines]
    return html_table(headings, lines, table.title)


def _entry(entry: TableEntry | None) -> str:
    if entry is None or entry.figure is None:
        return ""
    value, interval = entry.figure.shown()
    return with_interval(value, interval)
