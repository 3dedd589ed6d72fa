"""A run's results at a terminal: what the model achieves and what each attacker makes of it.

Names come from configs and plugins and are shown as plain text: nothing in them is taken for
markup.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedsim.report.costs import cost_table
from fedsim.report.formatting import (
    area,
    area_interval,
    footnotes,
    percent,
    percent_interval,
    plural,
    rate_name,
    rates_of,
)
from fedsim.report.results import MEAN, Result, Results

# What separates a figure from its interval: a space where it fits, else a new line.
_WIDE, _STACKED = " ", "\n"
_UNBOUNDED = 1000
_INTERVAL = "dim"
_NOTE = "dim italic"


class RunTable:
    """Everything `fedsim run` ends with; prints itself to the width it is given.

    Per adversary a table of its attacks (accuracy, AUC, TPRs, each with its interval), the
    adversaries side by side where there are several, and the model's own utility.
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables with intervals beside the figures, or below them if it is narrow."""
        parts = self._adversaries(_WIDE)
        unbounded = options.update(width=_UNBOUNDED)
        widths = [Measurement.get(console, unbounded, table).maximum for _, table in parts]
        if max(widths, default=0) > options.max_width:
            parts = self._adversaries(_STACKED)
        for title, table in parts:
            yield title
            yield Padding(table, (0, 0, 1, 0))
        if len(self._results.adversaries()) > 1:
            yield Padding(side_by_side(self._results), (0, 0, 1, 0))
        if self._results.costs:
            yield Padding(cost_table(self._results.costs), (0, 0, 1, 0))
        yield utility_line(self._results)
        yield from notes(self._results.summary())

    def _adversaries(self, separator: str) -> list[tuple[Text, Table]]:
        rows = self._results.summary()
        rates = rates_of([*(row.tpr_at_fpr for row in rows), *(row.refused_fprs for row in rows)])
        parts = []
        for adversary in self._results.adversaries():
            own = [row for row in rows if row.adversary == adversary]
            parts.append((_title(self._results, own), _attack_table(own, rates, separator)))
        return parts


_MOST_COLUMNS = 3


def side_by_side(results: Results) -> Table:
    """Return accuracy and AUC of every attack, one column an adversary.

    With many adversaries they are the rows, and AUC alone is shown: it stands in every column.
    """
    if len(results.adversaries()) > _MOST_COLUMNS:
        return _one_below_the_other(results)
    found = {(row.adversary, row.attack): row for row in results.summary()}
    table = _plain_table("accuracy · AUC")
    for adversary in results.adversaries():
        table.add_column(Text(adversary), justify="right")
    for attack in results.attacks():
        cells = []
        for adversary in results.adversaries():
            row = found.get((adversary, attack))
            cells.append(Text(f"{percent(row.accuracy)} · {area(row.auc)}" if row else "-"))
        table.add_row(Text(attack), *cells)
    return table


def _one_below_the_other(results: Results) -> Table:
    """Return the AUC of every attack, one row an adversary."""
    found = {(row.adversary, row.attack): row for row in results.summary()}
    table = _plain_table("AUC")
    for attack in results.attacks():
        table.add_column(Text(attack), justify="right", overflow="fold")
    for adversary in results.adversaries():
        rows = [found.get((adversary, attack)) for attack in results.attacks()]
        table.add_row(Text(adversary), *(Text(area(row.auc) if row else "-") for row in rows))
    return table


def utility_line(results: Results) -> Text:
    """Return what the model itself achieves, in one line."""
    utility = results.utility
    return Text.assemble(
        ("the model  ", "bold"),
        f"train accuracy {percent(utility.train_accuracy)} %   "
        f"test accuracy {percent(utility.test_accuracy)} %   "
        f"gap {percent(utility.gap)} points",
    )


def notes(rows: Sequence[Result]) -> list[Text]:
    """Return what must be known to read the figures: units, intervals, what was refused."""
    if not rows:
        return [Text("no attack was run", _NOTE)]
    intervals = rows[0].interval
    seeds = max(row.attack_seeds for row in rows)
    lines = [
        f"accuracy and TPR in %, with {100 * intervals.confidence:g} % intervals over the records "
        f"({intervals.resamples:,} resamples); mean of {plural(seeds, 'attack seed')}; "
        "guessing: accuracy 50.0, AUC .500, TPR = FPR"
    ]
    lines += footnotes(rows)
    return [Text(line, _NOTE) for line in lines]


def _title(results: Results, rows: Sequence[Result]) -> Text:
    """Return who attacks whom, and on how many records that was judged."""
    adversary = rows[0].adversary
    victims = dict.fromkeys(
        row.victim for row in results.results if row.adversary == adversary and row.victim != MEAN
    )
    whom = next(iter(victims)) if len(victims) == 1 else f"mean of {plural(len(victims), 'victim')}"
    return Text.assemble(
        (adversary, "bold"),
        f" against {whom or MEAN}",
        (f"  {rows[0].members:,} members, {rows[0].nonmembers:,} non-members", "dim"),
    )


def _attack_table(rows: Sequence[Result], rates: Sequence[str], separator: str) -> Table:
    """Return a row for each attack, then those for each baseline."""
    table = _plain_table("attack")
    # "87.3 86.3-88.4": one width for all, so that the adversaries' tables stand in line.
    width = 14 if separator == _WIDE else None
    for heading in ("accuracy", "AUC", *(f"TPR @ {rate_name(rate)}" for rate in rates)):
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        if not row.baseline:
            table.add_row(*_cells(row, rates, separator, "bold"))
    if any(row.baseline for row in rows):
        table.add_row(Text("baselines:", _NOTE))
    for row in rows:
        if row.baseline:
            table.add_row(*_cells(row, rates, separator, ""))
    return table


def _cells(row: Result, rates: Sequence[str], separator: str, style: str) -> list[RenderableType]:
    """Return the name and each figure with its interval."""
    intervals = row.interval
    cells: list[RenderableType] = [
        Text(row.attack, style),
        _figure(percent(row.accuracy), percent_interval(intervals.accuracy), separator, style),
        _figure(area(row.auc), area_interval(intervals.auc), separator, style),
    ]
    for rate in rates:
        if rate in row.tpr_at_fpr:
            interval = percent_interval(intervals.tpr_at_fpr[rate])
            cells.append(_figure(percent(row.tpr_at_fpr[rate]), interval, separator, style))
        else:
            cells.append(Text("refused" if rate in row.refused_fprs else "-", _INTERVAL))
    return cells


def _figure(value: str, interval: str, separator: str, style: str) -> Text:
    return Text.assemble((value, style), separator, (interval, _INTERVAL))


def _plain_table(first: str) -> Table:
    """Return a table with one heading line and its first column named."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, no_wrap=True)
    return table
