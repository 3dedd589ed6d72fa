"""The commands about this machine: `doctor`, `list` and `data`."""

import json
from typing import Annotated

import typer
from rich.console import Console

from fedsim.cli.exit_codes import EXIT_PROBLEM
from fedsim.cli.options import AsJsonOption, DataDir

data_app = typer.Typer(no_args_is_help=True, help="Download and verify data sets beforehand.")


def doctor(data_dir: DataDir = None, as_json: AsJsonOption = False) -> None:
    """Check this machine: versions, cores, disks, data sets, and a short self-test."""
    from fedsim import doctor as machine_checks

    if as_json:
        findings = list(machine_checks.examine(data_dir))
        typer.echo(json.dumps(machine_checks.as_json(findings)))
    else:
        console = Console()
        with console.status("checking this machine, with a self-test"):
            findings = list(machine_checks.examine(data_dir))
        console.print(machine_checks.findings_table(findings))
    if not machine_checks.healthy(findings):
        raise typer.Exit(EXIT_PROBLEM)


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="GROUP",
            help="A group of plugins, or configs; default: the groups themselves.",
        ),
    ] = None,
) -> None:
    """List what is installed: plugins, including those of other packages, and example configs."""
    from fedsim.cli.listing import CONFIGS, listed_configs, listed_groups, listed_plugins
    from fedsim.cli.tables import print_table

    if what is None:
        rows = [(one.name, str(one.members), one.description) for one in listed_groups()]
        print_table(("group", "installed", "what its members do"), rows)
    elif what == CONFIGS:
        print_table(("name", "what it is", "for fedsim"), listed_configs())
        typer.echo("`fedsim run NAME` or `fedsim study NAME` runs one; `fedsim new experiment`")
        typer.echo("writes one with comments, for you to change.")
    elif found := listed_plugins(what):
        print_table(("name", "what it is", "from"), found)
    else:
        typer.echo(f"none of the {what} is installed; name your own as module:attribute")


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set; see `fedsim list datasets`.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A=B", help="A setting of it, as in an experiment's data."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Download and verify a data set beforehand."""
    from fedsim.config.overrides import apply_override
    from fedsim.data import fetch as fetch_data

    given: dict[str, object] = {}
    for setting in settings or ():
        apply_override(given, setting)
    console = Console(markup=False, emoji=False)
    stored = fetch_data(name, given, data_dir=data_dir, say=console.print)
    console.print(
        f"{stored.name}: {stored.records:,} records of shape {stored.input_shape}, "
        f"{stored.num_classes} classes, {stored.size_in_bytes / 1e6:,.1f} MB, "
        + (f"kept in {stored.folder}" if stored.folder else "made anew each time, not kept"),
        highlight=False,
    )
