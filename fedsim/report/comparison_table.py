"""The table of a comparison for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from fedsim.errors import plural
from fedsim.report.comparison_rows import ComparedRow, auc_in_words, contenders_of, metrics_of
from fedsim.report.formatting import figure_text
from fedsim.report.label_gains import gain_lines
from fedsim.report.result_schema import MetricInfo, ResultRow
from fedsim.report.wide_tables import TableColumn, WideTable


class ComparedTable:
    """The comparison for the terminal: a legend, then a section for each attack.

    "3 against 1": the figures are those of 3, the difference is 3 minus 1.
    """

    def __init__(self, rows: Sequence[ComparedRow]) -> None:
        self._rows = rows
        self._numbers: dict[tuple[str, str], int] = {}
        for row in rows:
            self._numbers.setdefault((row.run, row.result.adversary), len(self._numbers) + 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the legend, the table (intervals below if it is narrow), and gains over a label."""
        yield from _legend(self._rows, self._numbers)
        yield Text()
        table = self._table(" ")
        if table.width() > options.max_width:
            table = self._table("\n")
        yield from table.fitted(options.max_width)
        called = contenders_of(self._rows)
        rows = ((called[row.run, row.result.adversary], row.result) for row in self._rows)
        for line in gain_lines(rows, metrics_of(self._rows)):
            yield Text(line, "dim")

    def _table(self, separator: str) -> WideTable:
        metrics = metrics_of(self._rows)
        table = WideTable(
            [
                TableColumn("attack"),
                *(TableColumn(info.heading, number=True) for info in metrics.values()),
                *(TableColumn(f"Δ AUC{separator}(95 %)"), TableColumn("p")),
            ]
        )
        previous = None
        for row in self._rows:
            if row.result.attack != previous:
                table.add(Text(row.result.attack, "bold"))
            previous = row.result.attack
            who = Text(f"  {_number(row, self._numbers)}")
            if row.reference is not None:
                who.append(f" against {_number(row.reference, self._numbers)}", "dim")
            cells = [figure_cell(row.result, name, info) for name, info in metrics.items()]
            table.add(who, *cells, *auc_in_words(row.difference, separator))
        return table


def _legend(rows: Sequence[ComparedRow], numbers: Mapping[tuple[str, str], int]) -> Iterator[Text]:
    """Yield the legend of numbers, and how records were paired."""
    for who, number in numbers.items():
        against = [
            f"{row.difference.pairing} with {_number(row.reference, numbers)} "
            f"({plural(row.difference.shared, 'record')})"
            for row in rows
            if row.difference is not None
            and row.reference is not None
            and (row.run, row.result.adversary) == who
        ]
        pairing = "; ".join(dict.fromkeys(against))
        yield Text.assemble((f"{number}  ", "bold"), " · ".join(who), (f"  {pairing}", "dim"))


def _number(row: ComparedRow, numbers: Mapping[tuple[str, str], int]) -> int:
    return numbers[row.run, row.result.adversary]


def figure_cell(result: ResultRow, name: str, info: MetricInfo) -> str:
    """Return a row's figure, or a dash where it was not measured."""
    figure = result.figures.get(name)
    return "-" if figure is None else figure_text(figure.value, info.unit)
