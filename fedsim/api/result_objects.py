"""Results of the functions of `fedsim.api`, shown by notebooks and as data frames.

Frames are tidy: one row for each metric, with the interval in ``low`` and ``high``.
Metrics have the names of ``results.json`` and ``fedsim compare --format csv``: ``tpr@0.01``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.api.notebook_tables import (
    data_frame,
    figures_in_words,
    metric_headings,
    metric_rows,
)
from fedsim.config.loading import read_experiment
from fedsim.errors import plural
from fedsim.report.comparison_rows import ComparedRow, auc_in_words, metrics_of
from fedsim.report.formats import tidy
from fedsim.report.formatting import (
    utility_words,
)
from fedsim.report.gate import GateCheck, gate_entries
from fedsim.report.html_table import Heading, html_table
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.federation_seeds import results_of_repeats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its directory and its results.

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
        asked = read_experiment(RunDirectory(self.path).experiment, plugins_needed=False)
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
        return data_frame(
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
            for figure in metric_rows(row)
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
            (Heading("adversary"), Heading("attack"), *metric_headings(metrics)),
            [
                (row.adversary, row.attack, *figures_in_words(row, metrics))
                for row in self.results.summary()
            ],
            f"{self.path}: the model's {utility}",
        )


@dataclass(frozen=True)
class ComparedRuns:
    """Compared runs, attack by attack; the first row of an attack is its reference."""

    rows: Sequence[ComparedRow]

    def __repr__(self) -> str:
        runs = dict.fromkeys(row.run for row in self.rows)
        return f"<ComparedRuns {', '.join(runs)}: {plural(len(self.rows), 'row')}>"

    def to_frame(self) -> "pd.DataFrame":
        """Return every figure and its difference from the reference of the attack."""
        return data_frame(tidy(self.rows))

    def _repr_html_(self) -> str:
        metrics = metrics_of(self.rows)
        return html_table(
            (
                *(
                    Heading("attack"),
                    Heading("run"),
                    Heading("adversary"),
                    *metric_headings(metrics),
                ),
                *(Heading("difference of AUC", number=True), Heading("p", number=True)),
            ),
            [
                (
                    *(row.result.attack, row.run, row.result.adversary),
                    *figures_in_words(row.result, metrics),
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
        """Return every check: limit, subject, compared number, breach."""
        return data_frame(gate_entries(self.checks))

    def _repr_html_(self) -> str:
        return html_table(
            (Heading("limit"), Heading("figure of"), Heading("breach")),
            [(check.limit.in_words, check.subject, check.breach) for check in self.checks],
            f"{self.path}: {'passed' if self.passed else 'not passed'}",
        )
