"""What `--help` says of the arguments of a command."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from fedsim.cli.main import app

ARGUMENTS = [
    (["list"], "A group of plugins"),
    (["check"], "module:attribute"),
    (["new", "experiment"], "quickstart, images, csv"),
    (["new", "engine"], "Small letters and dashes"),
]


@pytest.mark.skipif(version("click") >= "8.5", reason="click 8.5 drops the help of arguments")
@pytest.mark.parametrize(("command", "help_text"), ARGUMENTS)
def test_help_says_what_an_argument_is(command: list[str], help_text: str) -> None:
    said = CliRunner().invoke(app, [*command, "--help"], terminal_width=200)
    assert said.exit_code == 0
    assert help_text in " ".join(said.output.replace("│", " ").split())
