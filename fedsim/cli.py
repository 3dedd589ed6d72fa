"""The command line: run, attack, compare, report, list, data.

Exit codes: 0 done; 2 something that you gave is not valid (one sentence says what); 130 stopped by
Ctrl-C (the same command resumes).
"""

import logging
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedsim.errors import FedsimError

EXIT_INVALID = 2
EXIT_STOPPED = 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="What does your federation leak about who was in its training data?",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: fetch and verify them beforehand.")
app.add_typer(data_app, name="data")

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the data set's files are; without it, download."),
]


class Listing(StrEnum):
    """What `fedsim list` knows."""

    ADVERSARIES = "adversaries"
    ATTACKS = "attacks"
    DATASETS = "datasets"
    MODELS = "models"
    STRATEGIES = "strategies"
    PARTITIONS = "partitions"
    OPTIMIZERS = "optimizers"
    ENGINES = "engines"


class Format(StrEnum):
    """How `fedsim compare` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; default runs/CONFIG-NAME.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Simulate, attack and report; run it again to resume what was stopped."""
    from fedsim import experiment as programme
    from fedsim.config import load_experiment
    from fedsim.console import ConsoleWatcher, show_plan, show_threats
    from fedsim.stages.plan import plan, stated_threats
    from fedsim.stages.scene import set_scene

    console = Console()
    experiment = load_experiment(config, settings or ())
    out = out or Path("runs") / config.stem
    watcher = ConsoleWatcher(console)
    scene = set_scene(experiment, data_dir, watcher)
    show_threats(console, stated_threats(scene))
    show_plan(console, plan(scene))
    results = programme.run(experiment, out, data_dir=data_dir, watcher=watcher, scene=scene)
    _show(console, results, out)


@app.command()
def attack(
    path: RunPath,
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", metavar="NAME", help="An attack; default: all of the run's."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Attack a finished run again, or by other attacks, without simulating again."""
    from fedsim import experiment as programme
    from fedsim.console import ConsoleWatcher

    console = Console()
    results = programme.attack(
        path, data_dir=data_dir, attacks=attacks or (), watcher=ConsoleWatcher(console)
    )
    _show(console, results, path)


@app.command()
def report(path: RunPath, data_dir: DataDir = None) -> None:
    """Judge a run's scores again, and write its results and its page."""
    from fedsim import experiment as programme
    from fedsim.console import ConsoleWatcher

    console = Console()
    results = programme.report(path, data_dir=data_dir, watcher=ConsoleWatcher(console))
    _show(console, results, path)


@app.command(name="list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """Show what is installed, other packages' plugins included."""
    table = Table("name", "what it is", "from", box=None, pad_edge=False)
    for name, description, origin in _listed(what):
        table.add_row(name, description, origin)
    Console().print(table)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set; see `fedsim list datasets`.")],
    data_dir: DataDir = None,
) -> None:
    """Get and verify a data set beforehand."""
    from fedsim.data import fetch as fetch_data

    console = Console()
    stored = fetch_data(name, {}, data_dir=data_dir, say=console.print)
    console.print(
        f"{stored.name}: {stored.records:,} records of shape {stored.input_shape}, "
        f"{stored.num_classes} classes, {stored.size_in_bytes / 1e6:,.1f} MB in {stored.folder}",
        highlight=False,
    )


def main() -> None:
    """Run the command line; a `FedsimError` becomes its one sentence and exit code 2."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    try:
        app()
    except FedsimError as error:
        Console(stderr=True).print(f"[bold red]fedsim:[/] {_escaped(str(error))}", highlight=False)
        sys.exit(EXIT_INVALID)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command resumes where it was")
        sys.exit(EXIT_STOPPED)


if __name__ == "__main__":
    main()
