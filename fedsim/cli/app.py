"""The typer application: its commands are imported when they are called."""

from importlib import import_module
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from fedsim.cli.commands import COMMANDS
from fedsim.cli.help_page import DESCRIPTION, help_page


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, as click's documentation describes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module at the first call; None if there is none."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.add_command(_load_command(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; an error suggests names that are similar."""
        if args[0] not in COMMANDS:
            for name in COMMANDS:  # typer suggests among those that are loaded
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the page of ``fedsim --help``."""
        formatter.write(help_page())


def _load_command(name: str) -> click.Command:
    source = COMMANDS[name]
    loaded: Any = getattr(import_module(source.module), source.attribute)
    if isinstance(loaded, typer.Typer):
        return get_group(loaded)
    alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    alone.command(name)(loaded)
    return get_command(alone)


app = typer.Typer(cls=LazyGroup, pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        from fedsim import __version__

        typer.echo(f"fedsim {__version__}")
        raise typer.Exit


@app.callback(help=DESCRIPTION)
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options of fedsim itself."""
