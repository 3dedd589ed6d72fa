"""The page of ``fedsim --help``, laid out by click from the table of commands.

It imports neither typer nor any command: that takes most of the time. The page of each command is
typer's.
"""

import click

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


def write_help_page(formatter: click.HelpFormatter) -> None:
    """Write usage, description, options, commands and exit codes; no text is cut."""
    formatter.write_usage("fedsim", "[OPTIONS] COMMAND [ARGS]...")
    formatter.write_paragraph()
    formatter.write_text(DESCRIPTION)
    with formatter.section("Options"):
        formatter.write_dl([*OPTIONS.items()])
    with formatter.section("Commands"):
        formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])
    formatter.write_paragraph()
    formatter.write_text(EXIT_CODES)


def help_page() -> str:
    """Return the page, as wide as the terminal, at most 80 columns."""
    formatter = click.HelpFormatter()
    write_help_page(formatter)
    return formatter.getvalue()
