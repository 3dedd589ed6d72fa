"""The page of ``fedsim --help``, laid out like typer's pages of the single commands.

It is written from the table of commands with the standard library alone: importing typer, rich or
the commands would take most of the time and of the memory of ``fedsim --help``.
"""

import os
import sys

from fedsim.cli.commands import COMMANDS
from fedsim.cli.exit_codes import EXIT_CODES

DESCRIPTION = "What does your federation leak about who was in its training data?"

OPTIONS = {
    "--version": "Print the version.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": (
        "Show completion for the current shell, to copy it or customize the installation."
    ),
    "--help": "Show this message and exit.",
}
"""The options of fedsim itself, as typer defines them (a test compares the two)."""

NARROWEST, USUAL_WIDTH = 40, 80

# The styles of typer's pages as terminal codes: usage, names, borders.
BOLD, YELLOW, CYAN, DIM = "1", "1;33", "1;36", "2"
ROUNDED, ASCII = tuple("╭─╮│╰╯"), tuple("+-+|++")


def terminal_width() -> int:
    """Return the columns of the terminal: $COLUMNS, else what the terminal says, else 80."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal():
        return max(NARROWEST, int(columns))
    for stream in (sys.__stdout__, sys.__stdin__, sys.__stderr__):
        try:
            return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns)  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            continue  # closed, or no terminal
    return USUAL_WIDTH


def has_colours() -> bool:
    """Return whether colours are wanted: on a terminal, unless the environment says otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def wrap(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` characters, broken at spaces."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


class HelpPage:
    """Paragraphs and panels of a given width, with or without colours and rounded borders."""

    def __init__(self, width: int, *, colours: bool, unicode: bool) -> None:
        self._width = width
        self._colours = colours
        self._border = ROUNDED if unicode else ASCII
        self._lines = [""]

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours else text

    def add_usage(self, program: str, arguments: str) -> None:
        """Add the line that says how the program is called."""
        usage = self._styled("Usage:", YELLOW), self._styled(f"{program} {arguments}", BOLD)
        self._lines += [f" {' '.join(usage)}", ""]

    def add_paragraph(self, text: str) -> None:
        """Add a wrapped text and an empty line."""
        self._lines += [f" {line}" for line in wrap(text, self._width - 2)] + [""]

    def add_panel(self, title: str, rows: dict[str, str]) -> None:
        """Add a titled box with two columns, names and what they mean."""
        top_left, line, top_right, side, bottom_left, bottom_right = self._border
        names = max(map(len, rows))
        texts = self._width - names - 6  # two borders, three gaps
        heading = f"{top_left}{line} {title} "
        self._lines.append(
            self._styled(heading + line * (self._width - len(heading) - 1) + top_right, DIM)
        )
        bar = self._styled(side, DIM)
        for name, text in rows.items():
            for place, part in enumerate(wrap(text, texts)):
                shown = self._styled(name.ljust(names), CYAN) if not place else " " * names
                self._lines.append(f"{bar} {shown}  {part.ljust(texts)} {bar}")
        self._lines.append(self._styled(bottom_left + line * (self._width - 2) + bottom_right, DIM))

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines) + "\n"


def help_page() -> str:
    """Return the page of ``fedsim --help`` for the terminal that it is printed on."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower()
    page = HelpPage(terminal_width(), colours=has_colours(), unicode=encoding.startswith("utf"))
    page.add_usage("fedsim", "[OPTIONS] COMMAND [ARGS]...")
    page.add_paragraph(DESCRIPTION)
    page.add_panel("Options", OPTIONS)
    page.add_panel("Commands", {name: source.summary for name, source in COMMANDS.items()})
    page.add_paragraph(EXIT_CODES)
    return page.text()
