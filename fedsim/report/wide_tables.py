"""Tables that fit a terminal: a table that is too wide is split into several.

No word is broken and no text is cut: columns that do not fit go into a further table, which repeats
the columns that name the rows. Cells are folded only if a single column is wider than the terminal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_BETWEEN = 2
"""Cells of space between columns: one of the table's own, and one of padding."""


@dataclass(frozen=True)
class TableColumn:
    """A heading and how its cells are set."""

    heading: str
    number: bool = False
    at_least: int = 0


@dataclass(frozen=True)
class WideTable:
    """A table of texts, before it is known how wide it may be.

    Attributes
    ----------
    columns
        From left to right.
    lines
        A text for each column; a shorter line has its last cells empty.
    first
        How many columns name the lines, and stand in every part.
    """

    columns: Sequence[TableColumn]
    lines: list[Sequence[Text]] = field(default_factory=list)
    first: int = 1

    def add(self, *cells: Text | str) -> None:
        """Add a line."""
        self.lines.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def widths(self) -> list[int]:
        """Return how many cells each column takes."""
        return [
            max(
                [column.at_least, _width(Text(column.heading))]
                + [_width(line[place]) for line in self.lines if place < len(line)]
            )
            for place, column in enumerate(self.columns)
        ]

    def width(self) -> int:
        """Return how many cells the whole takes."""
        return _together(self.widths())

    def fitted(self, width: int) -> Iterator[Table]:
        """Yield the table, or parts of it that are no wider than `width`."""
        widths = self.widths()
        names = list(range(self.first))
        for part in _parts(widths, self.first, width):
            yield self._part([*names, *part], widths, width)

    def _part(self, places: Sequence[int], widths: Sequence[int], width: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.show_edge = False
        fits = _together([widths[place] for place in places]) <= width
        for place in places:
            column = self.columns[place]
            table.add_column(
                Text(column.heading),
                justify="right" if column.number else "left",
                no_wrap=fits,
                min_width=widths[place] if fits else None,
                overflow="fold",
            )
        for line in self.lines:
            cells = [line[place] if place < len(line) else Text() for place in places]
            figures = cells[self.first :]
            if any(cell.plain for cell in figures) or len(line) <= self.first or not figures:
                table.add_row(*cells)
        return table


def _together(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN * (len(widths) - 1)


def _parts(widths: Sequence[int], first: int, width: int) -> Iterator[list[int]]:
    """Yield the columns of each part, those that are in all left out."""
    names, part = list(widths[:first]), list[int]()
    for place in range(first, len(widths)):
        if part and _together([*names, *(widths[one] for one in [*part, place])]) > width:
            yield part
            part = []
        part.append(place)
    yield part


def _width(text: Text) -> int:
    return max((cell_len(line) for line in text.plain.split("\n")), default=0)
