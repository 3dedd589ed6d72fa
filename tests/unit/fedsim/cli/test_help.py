"""`fedsim --help`, and what `--help` says of the arguments of a command."""

from importlib.metadata import version

import click
import pytest
from command_line import Fedsim
from typer.main import get_command
from typer.testing import CliRunner

from fedsim.cli.app import app
from fedsim.cli.commands import COMMANDS
from fedsim.cli.exit_codes import EXIT_CODES
from fedsim.cli.help_page import DESCRIPTION, OPTIONS, help_page

ARGUMENTS = [
    (["list"], "A group of plugins"),
    (["check"], "module:attribute"),
    (["new", "experiment"], "quickstart, images, csv"),
    (["new", "engine"], "Lower-case letters and dashes"),
]


@pytest.mark.skipif(version("click") >= "8.5", reason="click 8.5 drops the help of arguments")
@pytest.mark.parametrize(("command", "help_text"), ARGUMENTS)
def test_help_says_what_an_argument_is(command: list[str], help_text: str) -> None:
    said = CliRunner().invoke(app, [*command, "--help"], terminal_width=200)
    assert said.exit_code == 0
    assert help_text in " ".join(said.output.replace("│", " ").split())


def test_the_page_of_help_names_every_command_and_option_in_full_at_80_columns(
    fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = fedsim("--help").out
    assert max(map(len, page.splitlines())) <= 80
    read = " ".join(page.split())
    for name, command in COMMANDS.items():
        assert f" {name} {command.summary}" in read
    for option, text in OPTIONS.items():
        assert f" {option} {text}" in read
    assert read.startswith(f"Usage: fedsim [OPTIONS] COMMAND [ARGS]... {DESCRIPTION}")
    assert read.endswith(EXIT_CODES)


def test_the_page_of_help_says_what_the_application_does() -> None:
    group = get_command(app)
    assert isinstance(group, click.Group)
    context = click.Context(group, info_name="fedsim")
    assert CliRunner().invoke(app, ["--help"]).output.split() == help_page().split()
    records = (option.get_help_record(context) for option in group.get_params(context))
    assert dict(filter(None, records)) == OPTIONS
    assert group.list_commands(context) == [*COMMANDS]
    for name, source in COMMANDS.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.help == source.summary


def test_a_mistyped_command_gets_a_suggestion(fedsim: Fedsim) -> None:
    said = fedsim("studdy")
    assert said.code == 2
    assert "Did you mean 'study'" in said.err
