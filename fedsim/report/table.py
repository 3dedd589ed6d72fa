"""The results of a run in the terminal: utility of the model, and figures of each attacker.

Names come from configs and plugins and are shown as plain text, not as markup.
"""

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from fedsim.errors import plural
from fedsim.report.cost_table import cost_remarks, cost_table
from fedsim.report.finding_tables import finding_parts
from fedsim.report.formatting import (
    figure_text,
    footnotes,
    interval_note,
    interval_text,
    units_and_guessing,
    utility_words,
)
from fedsim.report.label_gains import label_gain_lines
from fedsim.report.result_schema import MetricInfo, ResultRow
from fedsim.report.results import MEAN, Results
from fedsim.report.wide_tables import TableColumn, WideTable

# What separates a figure from its interval: a space where it fits, else a new line.
_WIDE, _STACKED = " ", "\n"
# "87.3 86.3-88.4": one width for all, so that the adversaries' tables stand in line.
_FIGURE_WIDTH = 14
_INTERVAL = "dim"
_NOTE = "dim italic"


class RunTable:
    """The final tables of `fedsim run`, fitted to the width of the terminal.

    A table of attacks for each adversary, with intervals, a table of all adversaries if there are
    several, and the utility of the model.
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables with intervals beside the figures, or below them if it is narrow."""
        width = options.max_width
        parts = self._adversaries(_WIDE)
        if max((table.width() for _, table in parts), default=0) > width:
            parts = self._adversaries(_STACKED)
        for title, attacks in parts:
            yield title
            for table in attacks.fitted(width):
                yield Padding(table, (0, 0, 1, 0))
        for unseen in self._results.unseen:
            yield Padding(Text(unseen.sentence), (0, 0, 1, 0))
        if len(self._results.adversaries()) > 1:
            for table in side_by_side(self._results, width).fitted(width):
                yield Padding(table, (0, 0, 1, 0))
        if self._results.costs:
            costs = cost_table(self._results.costs, self._results.utility_figure)
            for table in costs.fitted(width):
                yield Padding(table, (0, 0, 1, 0))
        for remark in cost_remarks(self._results.costs):
            yield Padding(Text(remark), (0, 0, 1, 0))
        yield from finding_parts(self._results.findings, width)
        yield utility_line(self._results)
        yield from notes(self._results)

    def _adversaries(self, separator: str) -> list[tuple[Text, WideTable]]:
        rows = self._results.summary()
        parts = []
        for adversary in self._results.adversaries():
            own = [row for row in rows if row.adversary == adversary]
            table = _attack_table(own, self._results.metrics, separator)
            parts.append((_title(self._results, own), table))
        return parts


def side_by_side(results: Results, width: int) -> WideTable:
    """Return accuracy and AUC of every attack, one column per adversary.

    If the columns do not fit, the adversaries are rows, and only the AUC is shown.
    """
    found = {(row.adversary, row.attack): row for row in results.summary()}
    attacks, adversaries = results.attacks(), results.adversaries()
    infos = results.metrics
    table = WideTable(
        [TableColumn("accuracy · AUC"), *(TableColumn(one, number=True) for one in adversaries)]
    )
    for attack in attacks:
        rows = [found.get((adversary, attack)) for adversary in adversaries]
        table.add(attack, *("-" if row is None else _accuracy_and_auc(row, infos) for row in rows))
    if table.width() <= width:
        return table
    table = WideTable([TableColumn("AUC"), *(TableColumn(one, number=True) for one in attacks)])
    for adversary in adversaries:
        rows = [found.get((adversary, attack)) for attack in attacks]
        table.add(adversary, *("-" if row is None else _text(row, "auc", infos) for row in rows))
    return table


def utility_line(results: Results) -> Text:
    """Return the utility of the model in one line."""
    message = map(" ".join, utility_words(results.utility, results.utility_figure))
    return Text.assemble(("the model  ", "bold"), "   ".join(message))


def notes(results: Results) -> list[Text]:
    """Return notes on the figures: units, intervals, refused figures."""
    rows = results.summary()
    if not rows:
        return [Text("no attack was run", _NOTE)]
    seeds = max(row.attack_seeds for row in rows)
    percents, guessing = units_and_guessing(results.metrics)
    bounds = interval_note(rows)
    lines = [
        f"{percents}, with {100 * rows[0].confidence:g} % intervals over the records "
        f"({rows[0].resamples:,} resamples{bounds}); mean of "
        f"{plural(seeds, 'attack seed')}; guessing: {guessing}"
    ]
    lines += label_gain_lines(results)
    lines += footnotes(rows, results.metrics)
    return [Text(line, _NOTE) for line in lines]


def _title(results: Results, rows: Sequence[ResultRow]) -> Text:
    """Return the title: attacker, victim, and the number of evaluation records."""
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


def _attack_table(
    rows: Sequence[ResultRow], metrics: Mapping[str, MetricInfo], separator: str
) -> WideTable:
    """Return a row for each attack, then those for each baseline."""
    width = _FIGURE_WIDTH if separator == _WIDE else 0
    headings = [TableColumn(one.heading, number=True, at_least=width) for one in metrics.values()]
    table = WideTable([TableColumn("attack"), *headings])
    for row in rows:
        if not row.baseline:
            table.add(*_cells(row, metrics, separator, "bold"))
    if any(row.baseline for row in rows):
        table.add(Text("baselines:", _NOTE))
    for row in rows:
        if row.baseline:
            table.add(*_cells(row, metrics, separator, ""))
    return table


def _cells(
    row: ResultRow, metrics: Mapping[str, MetricInfo], separator: str, style: str
) -> list[Text]:
    """Return the name and each figure with its interval."""
    cells = [Text(row.attack, style)]
    for name, info in metrics.items():
        if (figure := row.figures.get(name)) is not None:
            value, bounds = figure_text(figure.value, info.unit), interval_text(figure, info.unit)
            shown = Text(value, style)
            if bounds:
                shown = Text.assemble(shown, separator, (bounds, _INTERVAL))
            cells.append(shown)
        else:
            cells.append(Text("refused" if name in row.refused else "-", _INTERVAL))
    return cells


def _accuracy_and_auc(row: ResultRow, metrics: Mapping[str, MetricInfo]) -> str:
    return f"{_text(row, 'accuracy', metrics)} · {_text(row, 'auc', metrics)}"


def _text(row: ResultRow, name: str, metrics: Mapping[str, MetricInfo]) -> str:
    return figure_text(row.figures[name].value, metrics[name].unit)
