"""`fedsim --help`, and what `--help` says of the arguments of a command."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from command_line import Fedsim
from typer.main import get_command
from typer.testing import CliRunner

from fedsim.cli.app import app
from fedsim.cli.commands import COMMANDS
from fedsim.cli.exit_codes import EXIT_CODES, EXIT_INVALID
from fedsim.cli.help_page import DESCRIPTION, OPTIONS, HelpPage, help_page, terminal_width

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
    read = " ".join(page.replace("│", " ").split())
    for name, command in COMMANDS.items():
        assert f" {name} {command.summary}" in read
    for option, text in OPTIONS.items():
        assert f" {option} {text}" in read
    assert read.startswith(f"Usage: fedsim [OPTIONS] COMMAND [ARGS]... {DESCRIPTION}")
    assert read.endswith(EXIT_CODES)


def test_without_arguments_fedsim_shows_its_help_with_the_exit_code_of_a_mistake(
    fedsim: Fedsim,
) -> None:
    page = fedsim()
    assert page.code == EXIT_INVALID
    assert page.out == fedsim("--help").out


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_panels_are_as_wide_as_the_terminal_in_either_alphabet(width: int) -> None:
    rows = {"--option": "What it means, in a sentence that is wrapped where it is narrow."}
    pages = {}
    for unicode in (False, True):
        page = HelpPage(width, colours=False, unicode=unicode)
        page.add_panel("Options", rows)
        pages[unicode] = page.text()
        assert {len(line) for line in pages[unicode].splitlines() if line} == {width}
    assert pages[False].isascii()
    assert pages[True].translate(str.maketrans("╭─╮│╰╯", "+-+|++")) == pages[False]


def test_colours_are_those_of_typer_and_change_no_text(
    fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fedsim("--help").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = fedsim("--help").out
    assert "\x1b[1;36mstudy  \x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert fedsim("--help").out == plain


def test_the_page_of_help_imports_neither_click_nor_typer() -> None:
    code = (
        "import sys; from fedsim.cli.help_page import help_page; help_page(); "
        "assert not {'click', 'typer', 'rich', 'textwrap', 'shutil'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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


@pytest.mark.parametrize(("columns", "width"), [("100", 100), ("7", 40), ("", 80), ("wide", 80)])
def test_the_width_without_a_terminal(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_terminal(descriptor: int) -> os.terminal_size:
        raise OSError

    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == width


@pytest.mark.parametrize(("terminal", "width"), [(132, 132), (12, 40)])
def test_the_width_of_the_terminal(
    terminal: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((terminal, 9)))
    monkeypatch.setattr(sys, "__stdout__", None)  # closed; the next stream is asked
    assert terminal_width() == width
