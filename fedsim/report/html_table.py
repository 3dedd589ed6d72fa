"""A small HTML table for a notebook: without scripts and colours, and escaped.

It has the notebook's colours, light or dark, and lines in the colour of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_CELL = "padding:.2em .8em .2em 0;border:0;"
_LINE = "border-bottom:1px solid currentColor;"


@dataclass(frozen=True)
class Heading:
    """The heading of a column; columns of numbers are aligned to the right."""

    text: str
    number: bool = False

    @property
    def style(self) -> str:
        """The style of the column's cells."""
        return _CELL + (
            "text-align:right;font-variant-numeric:tabular-nums"
            if self.number
            else "text-align:left"
        )


def html_table(
    headings: Sequence[Heading], lines: Sequence[Sequence[str]], caption: str = ""
) -> str:
    """Return a table; every text in it is taken as plain text.

    >>> html_table([Heading("<b>")], [], "a & b").count("&lt;b&gt;")
    1
    """
    head = "".join(_cell("th", heading, heading.text, _LINE) for heading in headings)
    body = "".join(
        f"<tr>{''.join(_cell('td', h, text) for h, text in zip(headings, line, strict=True))}</tr>"
        for line in lines
    )
    said = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    return (
        '<table style="border-collapse:collapse;background:none;color:inherit">'
        f"{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(tag: str, heading: Heading, text: str, line: str = "") -> str:
    return f'<{tag} style="{heading.style};{line}">{escape(text)}</{tag}>'
