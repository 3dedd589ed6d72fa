"""Tables that lose no text on a narrow terminal.

The longest column wraps between words, the others keep their width. If that leaves too little room,
each row is printed below its name.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

LEAST_TEXT = 24
"""The least width, in characters, of the column that wraps."""
GAP = 2


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows, each a name and its details; the longest column wraps."""
    console = Console(markup=False, emoji=False, highlight=False)
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    wrapped = widths.index(max(widths[1:]), 1)
    fixed = sum(width for place, width in enumerate(widths) if place != wrapped)
    if fixed + GAP * (len(widths) - 1) + min(LEAST_TEXT, widths[wrapped]) > console.width:
        _print_stacked(console, rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place != wrapped, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_stacked(console: Console, rows: Sequence[Sequence[str]]) -> None:
    for name, *rest in rows:
        console.print(Text(name, style="bold"), soft_wrap=True)
        for text in filter(None, rest):
            console.print(Padding(Text(text), (0, 0, 0, GAP)))
