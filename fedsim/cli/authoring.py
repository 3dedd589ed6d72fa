"""The commands for plugin authors: `fedsim new` writes a package, `fedsim check` tests a plugin."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fedsim.cli.exit_codes import EXIT_PROBLEM
from fedsim.cli.options import AsJsonOption, DataDir
from fedsim.errors import ConfigError
from fedsim.plugins.groups import GROUPS, Group

if TYPE_CHECKING:
    from fedsim.conformance import CheckResult

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "not asked": ("-", "dim"),
    "figure": ("=", "cyan"),
}

new_app = typer.Typer(
    no_args_is_help=True,
    help="Write a package with a new plugin, an experiment, or a Flower app.",
)

PluginName = Annotated[
    str, typer.Argument(metavar="NAME", help="Lower-case letters and dashes, as in noisy-server.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The package's folder; default NAME.")
]


class AdversaryPosition(StrEnum):
    """The position of an adversary."""

    SERVER = "server"
    PARTICIPANT = "participant"


@new_app.command()
def adversary(
    name: PluginName,
    position: Annotated[
        AdversaryPosition, typer.Option("--position", help="Its position.")
    ] = AdversaryPosition.SERVER,
    out: Out = None,
) -> None:
    """Write a package with a working adversary, its test and an experiment."""
    _write(position.value, name, out)


def _command_for(group: Group) -> Callable[..., None]:
    def write(name: PluginName, out: Out = None) -> None:
        _write(group.template, name, out)

    write.__doc__ = f"Write a package with {group.member} that works, its test and an experiment."
    return write


for _group in sorted(GROUPS.values(), key=lambda group: group.template):
    if _group.template:
        new_app.command(_group.template)(_command_for(_group))


@new_app.command()
def experiment(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="quickstart, images, csv, text or flower-app.")
    ] = "quickstart",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file; default KIND.yaml.")
    ] = None,
) -> None:
    """Write an experiment with comments, for you to change and run."""
    from fedsim.scaffold import write_experiment

    written = write_experiment(kind, out or Path(f"{kind}.yaml"))
    _show_written([written], f"read it, then fedsim run {written}")


@new_app.command()
def flower_app(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The app's folder.")],
    config: Annotated[Path, typer.Option("--config", help="The experiment (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Its run directory; default runs/CONFIG-NAME.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write a Flower app of an experiment for `flwr run`, simulated or deployed."""
    from fedsim.scaffold import write_flower_app

    run = out or Path("runs") / config.stem
    written = write_flower_app(folder, config, run, data_dir)
    _show_written(written, f"cd {folder}, and read README.md: its commands work")


def check(
    plugin: Annotated[
        str,
        typer.Argument(metavar="PLUGIN", help="module:attribute, or the name of an installed one."),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A=B", help="One of its settings.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="GROUP", help="Its group, where its name does not tell it."),
    ] = None,
    as_json: AsJsonOption = False,
) -> None:
    """Check that a plugin keeps the contract of its group; exit code 1 if it does not."""
    from fedsim.conformance import Checklist, findings, identified

    given = _settings(settings or ())
    kind = kind or identified(plugin)
    console = Console(highlight=False, markup=False, emoji=False, quiet=as_json)
    found: list[CheckResult] = []
    for finding in findings(kind, plugin, given):
        if not found:
            console.print(f"{plugin} as one of the {kind}:")
        found.append(finding)
        _show(console, finding)
    checklist = Checklist(plugin, kind, tuple(found))
    counts = Counter(finding.status.value for finding in found)
    summary = ", ".join(f"{counts[mark]} {mark}" for mark in MARKS if counts[mark])
    console.print(summary)
    if as_json:
        typer.echo(json.dumps(checklist.as_json()))
    if checklist.failures:
        raise typer.Exit(EXIT_PROBLEM)


def _write(template: str, name: str, out: Path | None) -> None:
    from fedsim.scaffold import write_package

    folder = out or Path(name)
    written = write_package(template, name, folder)
    _show_written(written, f"cd {folder}, and read README.md: its three commands work")


def _show_written(paths: Iterable[Path], advice: str) -> None:
    """Print the files that were written, and what to do next."""
    console = Console(highlight=False, markup=False, emoji=False)
    for path in paths:
        console.print(f"  {path}", soft_wrap=True)
    console.print(f"next: {advice}", soft_wrap=True)


def _show(console: Console, finding: "CheckResult") -> None:
    mark, style = MARKS[finding.status.value]
    console.print(Text.assemble((f"{mark} ", style), finding.claim))
    if finding.said:
        detail = Text(finding.said, style="red" if finding.status == "failed" else "dim")
        console.print(Padding(detail, (0, 0, 0, 4), expand=False))


def _settings(given: Iterable[str]) -> dict[str, Any]:
    """Return settings by name, each value read as YAML."""
    from fedsim.config.yaml_files import parse_yaml

    found: dict[str, Any] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--set {setting!r} is not of the form name=value")
        found[name] = parse_yaml(value, f"--set {setting!r}")
    return found
