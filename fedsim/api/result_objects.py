"""What the functions of `fedsim.api` return: figures that a notebook shows, and data frames.

Frames are tidy: one row for each metric, with the interval in ``low`` and ``high``.
Metrics are called as in ``results.json`` and in ``fedsim compare --format csv``: ``tpr@0.01``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.config.loading import load_experiment
from fedsim.errors import plural
from fedsim.report.comparison_rows import ComparedRow, auc_in_words, metrics_of
from fedsim.report.formats import tidy
from fedsim.report.formatting import (
    figure_text,
    interval_text,
    utility_words,
    with_unit,
)
from fedsim.report.gate import GateCheck, gate_entries
from fedsim.report.html_table import Heading, html_table
from fedsim.report.result_schema import MetricInfo, ResultRow
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.federation_seeds import results_of_repeats
from fedsim.studies.running import Findings
from fedsim.studies.tables import Table, TableEntry

if TYPE_CHECKING:
    import pandas as pd


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

    @property
    def repeats(self) -> Mapping[str, Results]:
        """The results of its other federations (`audit.federation_seeds`), by their numbers."""
        asked = load_experiment(RunDirectory(self.path).experiment, plugins_needed=False)
        return results_of_repeats(asked, self.path)

    @property
    def self_check(self) -> tuple[str, ...]:
        """Sentences on attacks that refute a guarantee, in any of its federations."""
        others = (
            f"federation seed {number}: {said}"
            for number, results in self.repeats.items()
            for said in results.self_check
        )
        return (*self.results.self_check, *others)

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
        metrics = {
            name: info
            for name, info in self.results.metrics.items()
            if any(name in row.figures for row in self.results.results)
        }
        words = utility_words(self.results.utility, self.results.utility_figure)
        utility = ", ".join(map(" ".join, words))
        return html_table(
            (Heading("adversary"), Heading("attack"), *_headings(metrics)),
            [
                (row.adversary, row.attack, *_in_words(row, metrics))
                for row in self.results.summary()
            ],
            f"{self.path}: the model's {utility}",
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
        metrics = metrics_of(self.rows)
        return html_table(
            (
                *(Heading("attack"), Heading("run"), Heading("adversary"), *_headings(metrics)),
                *(Heading("difference of AUC", number=True), Heading("p", number=True)),
            ),
            [
                (
                    *(row.result.attack, row.run, row.result.adversary),
                    *_in_words(row.result, metrics),
                    *auc_in_words(row.difference),
                )
                for row in self.rows
            ],
            "differences are from the first of each attack",
        )


@dataclass(frozen=True)
class GatedRun:
    """A run whose figures were checked against limits.

    Attributes
    ----------
    path
        The run directory.
    checks
        One for each limit and row of figures.
    """

    path: Path
    checks: Sequence[GateCheck]

    @property
    def passed(self) -> bool:
        """Whether every limit is kept."""
        return not self.breaches

    @property
    def breaches(self) -> list[str]:
        """A sentence for each limit that is broken."""
        return [check.breach for check in self.checks if not check.passed]

    def __repr__(self) -> str:
        broken = len(self.breaches)
        return f"<GatedRun {self.path}: {plural(len(self.checks), 'check')}, {broken} not passed>"

    def to_frame(self) -> "pd.DataFrame":
        """Return every check: its limit, whose figure, the number that was compared, its breach."""
        return _frame(gate_entries(self.checks))

    def _repr_html_(self) -> str:
        return html_table(
            (Heading("limit"), Heading("figure of"), Heading("breach")),
            [(check.limit.in_words, check.subject, check.breach) for check in self.checks],
            f"{self.path}: {'passed' if self.passed else 'not passed'}",
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
    value, interval = entry.figure.shown()
    return _with_interval(value, interval)


def _figures(row: ResultRow) -> Iterator[dict[str, str | float]]:
    """Yield each metric of a row with its interval."""
    for name, figure in row.figures.items():
        yield {"metric": name, "value": figure.value, "low": figure.low, "high": figure.high}


def _headings(metrics: Mapping[str, MetricInfo]) -> list[Heading]:
    return [Heading(with_unit(info), number=True) for info in metrics.values()]


def _in_words(row: ResultRow, metrics: Mapping[str, MetricInfo]) -> list[str]:
    """Return each figure with its interval, and nothing where there is none."""
    return [
        _with_interval(figure_text(figure.value, info.unit), interval_text(figure, info.unit))
        if (figure := row.figures.get(name))
        else ""
        for name, info in metrics.items()
    ]


def _with_interval(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _frame(records: Iterable[Mapping[str, object]]) -> "pd.DataFrame":
    import pandas as pd  # here: it takes a second, and only who wants a frame waits for it

    return pd.DataFrame.from_records(list(records))
