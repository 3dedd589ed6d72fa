"""What the functions of `fedsim.api` return: figures that a notebook shows, and data frames.

Frames are tidy: one row for each metric, fractions, with the interval in ``low`` and ``high``.
Metrics are ``accuracy``, ``auc`` and ``tpr_at_0.01``-like, as in ``fedsim compare --format csv``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.report.comparison_rows import ComparedRow, auc_in_words
from fedsim.report.formats import tidy
from fedsim.report.formatting import area, area_interval, percent, percent_interval, plural
from fedsim.report.html_table import Heading, html_table
from fedsim.report.results import Interval, Result, Results, read_results
from fedsim.rundir import RunDirectory
from fedsim.studies.running import Findings
from fedsim.studies.tables import Table, TableEntry

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = (Heading("accuracy, %", number=True), Heading("AUC", number=True))


@dataclass(frozen=True)
class FinishedRun:
    """A run that has come to its end: its directory and its results.

    Attributes
    ----------
    path
        The run directory; ``report.html`` in it is the page.
    results
        The figures; see `fedsim.Results`.
    """

    path: Path
    results: Results

    @classmethod
    def read(cls, path: Path) -> "FinishedRun":
        """Return the finished run in a directory.

        Raises
        ------
        FedsimError
            If there is none, or it has no results yet.
        """
        return cls(path, read_results(RunDirectory.existing(path).results))

    @property
    def page(self) -> Path:
        """The report page."""
        return RunDirectory(self.path).report

    def __repr__(self) -> str:
        attacks, adversaries = self.results.attacks(), ", ".join(self.results.adversaries())
        return f"<FinishedRun {self.path}: {plural(len(attacks), 'attack')} by {adversaries}>"

    def to_frame(self) -> "pd.DataFrame":
        """Return every figure: by adversary, attack, victim (``mean`` over them too) and metric."""
        return _frame(
            {
                "adversary": row.adversary,
                "attack": row.attack,
                "victim": row.victim,
                "baseline": row.baseline,
                **figure,
                "members": row.members,
                "nonmembers": row.nonmembers,
            }
            for row in self.results.results
            for figure in _figures(row)
        )

    def _repr_html_(self) -> str:
        utility = self.results.utility
        return html_table(
            (Heading("adversary"), Heading("attack"), *_FIGURES),
            [(row.adversary, row.attack, *_in_words(row)) for row in self.results.summary()],
            f"{self.path}: the model's train accuracy is {percent(utility.train_accuracy)} %, its "
            f"test accuracy {percent(utility.test_accuracy)} %",
        )


@dataclass(frozen=True)
class ComparedRuns:
    """Runs beside each other, attack by attack; the first of an attack is its reference."""

    rows: Sequence[ComparedRow]

    def __repr__(self) -> str:
        runs = dict.fromkeys(row.run for row in self.rows)
        return f"<ComparedRuns {', '.join(runs)}: {plural(len(self.rows), 'row')}>"

    def to_frame(self) -> "pd.DataFrame":
        """Return every figure and its difference from the reference of the attack."""
        return _frame(tidy(self.rows))

    def _repr_html_(self) -> str:
        return html_table(
            (
                *(Heading("attack"), Heading("run"), Heading("adversary"), *_FIGURES),
                *(Heading("difference of AUC", number=True), Heading("p", number=True)),
            ),
            [
                (
                    *(row.result.attack, row.run, row.result.adversary),
                    *_in_words(row.result),
                    *auc_in_words(row.difference),
                )
                for row in self.rows
            ],
            "differences are from the first of each attack",
        )


@dataclass(frozen=True)
class FinishedStudy:
    """A study that has come to its end.

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
        return _frame(
            {**row.coordinates, **figure}
            for row in self.findings.rows
            for figure in _figures(row.result)
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
    value, interval = entry.figure.shown(entry.metric)
    return _with_interval(value, interval)


def _figures(row: Result) -> Iterator[dict[str, str | float]]:
    """Yield each metric of a row with its interval."""
    interval = row.interval
    yield _figure("accuracy", row.accuracy, interval.accuracy)
    yield _figure("auc", row.auc, interval.auc)
    for rate, value in row.tpr_at_fpr.items():
        yield _figure(f"tpr_at_{rate}", value, interval.tpr_at_fpr[rate])


def _figure(metric: str, value: float, interval: Interval) -> dict[str, str | float]:
    return {"metric": metric, "value": value, "low": interval.low, "high": interval.high}


def _in_words(row: Result) -> tuple[str, str]:
    """Return accuracy and AUC with their intervals."""
    accuracy = _with_interval(percent(row.accuracy), percent_interval(row.interval.accuracy))
    return accuracy, _with_interval(area(row.auc), area_interval(row.interval.auc))


def _with_interval(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _frame(records: Iterable[Mapping[str, object]]) -> "pd.DataFrame":
    import pandas as pd  # here: it takes a second, and only who wants a frame waits for it

    return pd.DataFrame.from_records(list(records))
