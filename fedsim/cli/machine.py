"""The verbs about this machine: is it ready, what is installed, and data sets beforehand."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedsim.cli.options import EXIT_PROBLEM, AsJson, DataDir
from fedsim.errors import FedsimError, listed

KINDS = "adversaries, attacks, datasets, models, strategies, partitions, optimizers, engines"

data_app = typer.Typer(no_args_is_help=True, help="Data sets: fetch and verify them beforehand.")


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look at this machine: versions, cores, disks, data sets, and a self-test of seconds."""
    from fedsim import doctor as office

    if as_json:
        findings = list(office.examine(data_dir))
        typer.echo(json.dumps(office.as_json(findings)))
    else:
        console = Console()
        with console.status("a look at this machine, and a self-test"):
            findings = list(office.examine(data_dir))
        console.print(office.findings_table(findings))
    if not office.healthy(findings):
        raise typer.Exit(EXIT_PROBLEM)


def list_(what: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {KINDS}.")]) -> None:
    """Show what is installed, other packages' plugins included."""
    from fedsim.listing import catalogue

    kinds = catalogue()
    if what not in kinds:
        raise FedsimError(f"there is nothing called {what!r} to list; valid: {listed(kinds)}")
    entries = kinds[what]()
    table = Table(box=None, pad_edge=False)
    table.add_column("name", overflow="fold", min_width=min(40, max(len(e.name) for e in entries)))
    table.add_column("what it is")
    table.add_column("from", no_wrap=True)
    for entry in entries:
        table.add_row(*entry)
    Console(markup=False, emoji=False).print(table)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set; see `fedsim list datasets`.")],
    data_dir: DataDir = None,
) -> None:
    """Get and verify a data set beforehand."""
    from fedsim.data import fetch as fetch_data

    console = Console(markup=False, emoji=False)
    stored = fetch_data(name, {}, data_dir=data_dir, say=console.print)
    console.print(
        f"{stored.name}: {stored.records:,} records of shape {stored.input_shape}, "
        f"{stored.num_classes} classes, {stored.size_in_bytes / 1e6:,.1f} MB in {stored.folder}",
        highlight=False,
    )
